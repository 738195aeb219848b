/** Seconds before a connection is tried again: a server that is back is not kept waiting. */
export const backoff = (attempt: number): number => Math.min(0.05 * 2 ** attempt, 1)
