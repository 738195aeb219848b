import { spawn } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { ensurePrivateFolder } from '../home/private-file.ts'

/** How `up` is to serve. */
export interface UpOptions {
  readonly port?: number
  readonly data?: string
  readonly detach?: boolean
}

/** What `up --json` prints. */
export interface UpReport {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly data: string
  readonly mesh: string
}

const ready = z.object({ url: z.string(), port: z.int(), pid: z.int(), data: z.string(), mesh: z.string() })
const word = z.union([z.object({ ready }), z.object({ error: z.object({ code: z.string(), message: z.string() }) })])

/** Starts `up` in the background and resolves when it serves. Its words go to `broker.log`. */
export async function startDetached(context: Context, options: UpOptions): Promise<UpReport> {
  ensurePrivateFolder(context.home)
  const log = join(context.home, 'broker.log')
  const fd = openSync(log, 'a', 0o600)
  const flags = [...(options.port === undefined ? [] : ['--port', String(options.port)]), ...(options.data === undefined ? [] : ['--data', options.data])]
  const child = spawn(context.node, [context.script, 'up', ...flags], {
    cwd: context.cwd,
    env: { ...context.env, CLAUDEMESH_HOME: context.home, npm_lifecycle_event: undefined },
    detached: true,
    stdio: ['ignore', fd, fd, 'ipc'],
  })
  closeSync(fd)
  return new Promise((resolve, reject) => {
    child.once('message', (message) => {
      const said = word.parse(message)
      if ('error' in said) return reject(new Failure(said.error.code === 'port_taken' ? 'port_taken' : 'no_broker', said.error.message))
      child.disconnect()
      child.unref()
      resolve(said.ready)
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Failure('no_broker', `the broker did not start (exit ${code}); its last words are in ${log}`)))
  })
}
