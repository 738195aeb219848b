import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Context } from '../context.ts'

/** Since this version a session has an inbox that wakes it. */
export const inboxSince = '2.1.224'

/** Since this version, at the latest, a hook that waits can wake a session. */
export const rewakeSince = '2.1.197'

const patience = 2000

/** The version that this `claude` tells, such as `2.1.329`; undefined when it tells none within two seconds. */
export async function claudeVersion(claude: string, env: Context['env']): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(claude, ['--version'], { env: { ...env }, timeout: patience })
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0]
  } catch {
    return undefined
  }
}

/** Whether version `a` is at least `b`. */
export function atLeast(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number))
  for (const [i, want] of (right ?? []).entries()) {
    const have = left?.[i] ?? 0
    if (have !== want) return have > want
  }
  return true
}
