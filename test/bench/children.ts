import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** Starts a part of a bench, by its file, as a process of its own. */
export function start(file: URL, children: ChildProcess[]): ChildProcess {
  const child = fork(file, { stdio: ['pipe', 'pipe', 'inherit', 'ipc'] })
  children.push(child)
  return child
}

/** What it says when it is ready. */
export async function message(child: ChildProcess): Promise<{ url: string }> {
  const [body] = (await once(child, 'message')) as [{ url: string }]
  return body
}

/** JSON-RPC over the child's stdio. */
export function caller(child: ChildProcess): (method: string, params: object) => Promise<void> {
  const waiting = new Map<number, () => void>()
  let next = 0
  if (!child.stdin || !child.stdout) throw new Error('the child has no stdio')
  const { stdin, stdout } = child
  createInterface({ input: stdout }).on('line', (line) => waiting.get((JSON.parse(line) as { id: number }).id)?.())
  return (method, params) =>
    new Promise((resolve) => {
      const id = ++next
      waiting.set(id, () => {
        waiting.delete(id)
        resolve()
      })
      stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    })
}

/** Ends them all, and waits for it. */
export async function end(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null) return
      child.disconnect()
      await once(child, 'exit')
    }),
  )
}
