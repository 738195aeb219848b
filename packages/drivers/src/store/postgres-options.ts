import type { Options } from 'postgres'

/** Seconds in which a connection must be ready. The attempt that a server left unanswered is what it is waited for once it is back. */
const connectTimeout = 5

/** What every connection to PostgreSQL has in common; `connect_timeout` in the address counts before ours. */
export function postgresOptions(url: string) {
  return {
    onnotice: () => {},
    // Seconds before a connection is tried again: a server that is back is not kept waiting.
    backoff: (attempt: number) => Math.min(0.05 * 2 ** attempt, 1),
    ...(/[?&]connect_timeout=/.test(url) ? {} : { connect_timeout: connectTimeout }),
  } satisfies Options<Record<string, never>>
}
