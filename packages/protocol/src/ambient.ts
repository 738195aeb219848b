/** Time as the layers below the apps see it: tests own it, apps pass the system's. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Runs `task` once after `ms`; the returned function cancels it. Does not keep the process alive. */
  after(ms: number, task: () => void): () => void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** One structured line. `fields` hold ids, names of errors and numbers: never plaintext, keys, tokens or links. */
export type Log = (level: LogLevel, event: string, fields?: Record<string, string | number | boolean | undefined>) => void

export const silent: Log = () => {}

/** The system's clock and timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, task) => {
    const timer: unknown = setTimeout(task, ms)
    if (typeof timer === 'object' && timer !== null && 'unref' in timer) (timer as { unref(): void }).unref()
    return () => clearTimeout(timer as Parameters<typeof clearTimeout>[0])
  },
}
