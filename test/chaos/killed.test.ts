import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { natsThere } from '../harness/nats.ts'

const nodes = natsThere ? 2 : 1

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('of a run that is ended by %s no server and no file of one remains', async (signal) => {
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-killed-'))
  // PostgreSQL runs as another user there.
  chmodSync(folder, 0o755)
  const holder = fork(new URL('holder.ts', import.meta.url), [String(nodes), folder], { env: { ...process.env, TMPDIR: folder } })
  const [ports] = (await Promise.race([once(holder, 'message'), once(holder, 'exit')])) as [number[]]
  expect(ports).toHaveLength(nodes === 2 ? 4 : 2)
  for (const port of ports) expect(await listens(port)).toBe(true)
  const exit = once(holder, 'exit')
  holder.kill(signal)
  await exit
  for (const port of ports) while (await listens(port));
  while (readdirSync(folder).some((name) => name.startsWith('claudemesh-postgres-'))) await new Promise(setImmediate)
  rmSync(folder, { recursive: true, force: true })
})
