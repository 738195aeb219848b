import { PassThrough } from 'node:stream'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { serveStandby } from '../../packages/mcp/src/standby.ts'

test('a server that stands by has no tools and no instructions, answers hooks with nothing, and ends with its input', async () => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const lines = createInterface({ input: output })[Symbol.asyncIterator]()
  await using server = await serveStandby({ input, output, version: '1' })
  const ask = async (id: number, method: string, params: object) => {
    input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    return (JSON.parse((await lines.next()).value as string) as { result: object }).result
  }
  const hello = await ask(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } })
  expect(hello).toMatchObject({ serverInfo: { name: 'claudemesh' } })
  expect(hello).not.toHaveProperty('instructions')
  expect(await ask(2, 'tools/list', {})).toMatchObject({ tools: [] })
  expect(await ask(3, 'tools/call', { name: 'hook_event', arguments: { event: 'Stop' } })).toMatchObject({ content: [{ text: '{}' }] })
  input.end()
  await server.closed
})
