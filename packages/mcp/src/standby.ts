import type { Readable, Writable } from 'node:stream'
import type { McpServerHandle } from './server.ts'

/** Serves no tools and no instructions: for a session whose mesh another server serves. Hooks that call it are answered with nothing. */
export async function serveStandby(options: { readonly input: Readable; readonly output: Writable; readonly version: string }): Promise<McpServerHandle> {
  const [{ Server }, { StdioServerTransport }] = await Promise.all([import('@modelcontextprotocol/server'), import('@modelcontextprotocol/server/stdio')])
  const server = new Server({ name: 'claudemesh', version: options.version }, { capabilities: { tools: {} } })
  server.setRequestHandler('tools/list', () => ({ tools: [] }))
  server.setRequestHandler('tools/call', () => ({ content: [{ type: 'text', text: '{}' }] }))
  let closing = () => {}
  const closed = new Promise<void>((resolve) => (closing = resolve))
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no other way
  server.onclose = closing
  await server.connect(new StdioServerTransport(options.input, options.output))
  return { closed, [Symbol.asyncDispose]: () => server.close() }
}
