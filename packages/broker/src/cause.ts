/** An unexpected error for the log: its words and where it arose, without the parameters of a failed query, which hold what clients sent. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'not an error'
  if ('query' in error && 'params' in error) return `query failed: ${error.cause instanceof Error ? wordsOf(error.cause) : 'without a cause'}`
  return wordsOf(error)
}

function wordsOf(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : ''
  const at = (error.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 6)
    .map((line) => line.trim())
  return [`${error.name}: ${error.message}${code}`, ...at].join('\n')
}
