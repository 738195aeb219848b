import type { Rate } from './buckets.ts'

/** What is counted. Units: envelopes, their recipients, characters of their bodies, writes that outlive a connection, other requests, names in receipts. */
export const kinds = ['messages', 'recipients', 'bytes', 'writes', 'requests', 'receipts'] as const
export type Kind = (typeof kinds)[number]

/** Whose doings are counted together; a member's sessions share, and so does everybody in a mesh. */
export type Scope = 'session' | 'member' | 'mesh'

/** How much anybody may ask of a broker. A broker counts for itself: behind a balancer, n brokers allow up to n times as much to a mesh. */
export interface Rates extends Readonly<Record<Scope, Readonly<Record<Kind, Rate>>>> {
  /** Connections that greet, requests for invites, and for files by who is not known here, by address; one that is refused counts as `refusedGreeting`. */
  readonly address: { readonly greetings: Rate }
}

export const refusedGreeting = 20

const rate = (perSecond: number, burst: number): Rate => ({ perSecond, burst })
const MiB = 1024 * 1024

/** Far above what people and models do, far below what one of them could do to the others. */
export const defaultRates: Rates = {
  session: {
    messages: rate(200, 2000),
    recipients: rate(4000, 40_000),
    bytes: rate(4 * MiB, 32 * MiB),
    writes: rate(100, 1000),
    requests: rate(200, 2000),
    receipts: rate(2000, 40_000),
  },
  member: {
    messages: rate(400, 4000),
    recipients: rate(8000, 80_000),
    bytes: rate(8 * MiB, 64 * MiB),
    writes: rate(200, 2000),
    requests: rate(400, 4000),
    receipts: rate(4000, 80_000),
  },
  mesh: {
    messages: rate(2000, 20_000),
    recipients: rate(40_000, 400_000),
    bytes: rate(32 * MiB, 256 * MiB),
    writes: rate(500, 5000),
    requests: rate(2000, 20_000),
    receipts: rate(20_000, 400_000),
  },
  address: { greetings: rate(50, 2000) },
}
