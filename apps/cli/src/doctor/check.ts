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
