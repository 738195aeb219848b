import { destination, pino, stdTimeFunctions } from 'pino'
import type { Log, LogLevel } from '@claudemesh/protocol'

/** What a line may hold. A field that is not listed here is left out, whoever logs it. */
const allowed: ReadonlySet<string> = new Set([
  'before',
  'bytes',
  'cause',
  'code',
  'count',
  'from',
  'kind',
  'member',
  'mesh',
  'node',
  'number',
  'port',
  'remedy',
  'session',
  'signal',
  'slug',
  'status',
  'subject',
  'url',
  'waiting',
  'what',
  'why',
])

/** Where lines go; `process.stdout` will do. */
export interface LineSink {
  write(line: string): void
}

/** One line of JSON per event, from that level on, to the sink or synchronously to standard output. */
export function jsonLog(level: LogLevel, sink: LineSink = destination({ dest: 1, sync: true })): Log {
  const logger = pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, messageKey: 'event', formatters: { level: (label) => ({ level: label }) } },
    sink,
  )
  return (at, event, fields = {}) => logger[at](cleaned(fields), event)
}

function cleaned(fields: NonNullable<Parameters<Log>[2]>): Record<string, unknown> {
  const kept = Object.entries(fields).filter(([name]) => allowed.has(name))
  return Object.fromEntries(kept.map(([name, value]) => [name, typeof value === 'string' ? redacted(name, value) : value]))
}

// Causes are words of other programs: an address in them may hold a password, and a long run of letters a key or a token.
const redacted = (name: string, text: string): string => {
  const bare = text.replace(/([a-z0-9+]+:\/\/)[^\s/@]*@/gi, '$1…@').replace(/cm1:\S*/g, 'cm1:…')
  return name === 'cause' ? bare.replace(/[A-Za-z0-9_+=-]{32,}/g, '…') : bare
}
