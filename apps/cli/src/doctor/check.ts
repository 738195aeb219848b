/** One thing that may be wrong: what is, and unless it is well, how to mend it. */
export interface Check {
  readonly check: string
  readonly level: 'pass' | 'warn' | 'fail'
  readonly says: string
  readonly remedy?: string
}

export const pass = (check: string, says: string): Check => ({ check, level: 'pass', says })
export const warn = (check: string, says: string, remedy: string): Check => ({ check, level: 'warn', says, remedy })
export const fail = (check: string, says: string, remedy: string): Check => ({ check, level: 'fail', says, remedy })

/** Whether version `a` (`2.1.329`) is at least `b`. */
export function atLeast(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number))
  for (const [i, want] of (right ?? []).entries()) {
    const have = left?.[i] ?? 0
    if (have !== want) return have > want
  }
  return true
}
