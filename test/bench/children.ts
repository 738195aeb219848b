import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Starts a process of a bench, which ends with its parent. */
export function start(file: string, children: ChildProcess[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(`latency/${file}`, import.meta.url)), { stdio: ['pipe', 'pipe', 'inherit', 'ipc'] })
  children.push(child)
  return child
}

/** The address that a process tells once it serves. */
export async function message(child: ChildProcess): Promise<{ url: string }> {
  const [body] = (await once(child, 'message')) as [{ url: string }]
  return body
}

/** Ends the processes and waits for them. */
export async function end(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null) return
      child.disconnect()
      await once(child, 'exit')
    }),
  )
}
