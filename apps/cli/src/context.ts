import { homedir } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { join, resolve } from 'node:path'
import { systemClock, type Clock } from '@claudemesh/protocol'

/** What a command may know of the world around it. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where the user stands. */
  readonly cwd: string
  /** ~/.claudemesh, or CLAUDEMESH_HOME. */
  readonly home: string
  /** How this CLI was started, for the processes it starts: the Node executable and the script. */
  readonly node: string
  readonly script: string
  readonly version: string
  readonly clock: Clock
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable
  /** Tells the process that started this one in the background how it goes; nothing happens without one. */
  readonly tellParent: (word: object) => void
}

/** The context of this process. */
export function systemContext(script: string, version: string): Context {
  const { env } = process
  const cwd = userFolder(env, process.cwd())
  return {
    env,
    cwd,
    home: env['CLAUDEMESH_HOME'] ? resolve(cwd, env['CLAUDEMESH_HOME']) : join(homedir(), '.claudemesh'),
    node: process.execPath,
    script,
    version,
    clock: systemClock,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    // A parent that did not wait, or is gone, need not be told; without a callback that would be an error of this process.
    tellParent: (word) => process.connected && void process.send?.(word, () => {}),
  }
}

/** Run as a script of a package manager, the working folder is the package's; INIT_CWD says where the user stands. */
function userFolder(env: Context['env'], cwd: string): string {
  const byScript = env['npm_lifecycle_event'] === 'claudemesh' || env['npm_lifecycle_event'] === 'start'
  return (byScript && env['INIT_CWD']) || cwd
}
