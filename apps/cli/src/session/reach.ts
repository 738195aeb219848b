import type { MeshEntry } from '../home/config.ts'

export interface Reach {
  readonly reachable: boolean
  readonly ms?: number
  readonly reason?: string
  /** Milliseconds by which the broker's clock is ahead of ours, to a second; where it tells. */
  readonly clockOffset?: number
  /** Of its contract and its program, where it tells. */
  readonly protocol?: number
  readonly version?: string
}

/** Whether the broker of a membership answers, within five seconds. */
export async function reach(entry: Pick<MeshEntry, 'url'>, now: () => number = Date.now): Promise<Reach> {
  const health = new URL('/healthz', entry.url.replace(/^ws/, 'http'))
  const started = performance.now()
  try {
    const response = await fetch(health, { signal: AbortSignal.timeout(5000) })
    if (!response.ok) {
      await response.body?.cancel()
      return { reachable: false, reason: `answered ${response.status}` }
    }
    const ms = Math.round(performance.now() - started)
    const date = Date.parse(response.headers.get('date') ?? '')
    return { reachable: true, ms, ...(Number.isNaN(date) ? {} : { clockOffset: date - now() }), ...(await versionsOf(response)) }
  } catch (error) {
    return { reachable: false, reason: reasonOf(error) }
  }
}

/** A broker of another make says less, or something else. */
async function versionsOf(response: Response): Promise<{ protocol?: number; version?: string }> {
  try {
    const { protocol, version } = (await response.json()) as { protocol?: unknown; version?: unknown }
    return { ...(typeof protocol === 'number' ? { protocol } : {}), ...(typeof version === 'string' ? { version: version.slice(0, 40) } : {}) }
  } catch {
    return {}
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if ((cause as NodeJS.ErrnoException).code === 'ECONNREFUSED') return 'nothing listens there; is the broker up?'
  return cause instanceof Error ? cause.message : 'unknown failure'
}
