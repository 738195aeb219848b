import type { FileId, MeshId, MessageId, SessionPubkey } from '@claudemesh/protocol'
import type { NodeId } from './parcels.ts'

/** Everything a span may say: ids and counts, and words that stand in the code. Never what a client wrote, and no name of anybody. */
export interface Facts {
  readonly mesh?: MeshId
  readonly session?: SessionPubkey
  readonly message?: MessageId
  readonly file?: FileId
  readonly node?: NodeId
  readonly recipients?: number
  readonly bytes?: number
  readonly entries?: number
  readonly status?: number
  /** Name of an error, where it did not succeed. */
  readonly code?: string
}

/** The names of the facts, for whoever hands them on. */
export const factNames = ['mesh', 'session', 'message', 'file', 'node', 'recipients', 'bytes', 'entries', 'status', 'code'] as const satisfies (keyof Facts)[]

/** A piece of work from its beginning to `end`. One that is never ended is never told. */
export interface Span {
  /** By which work on another node says that this caused it: a W3C traceparent. */
  readonly trace: string
  end(facts?: Facts): void
}

/** Takes note of what the broker works on, and of what caused it. */
export interface Tracer {
  /**
   * The first of the causes is what this is a part of; text is a span's `trace` that another node told. Undefined where nobody wants to know of it, as of what is
   * caused by that alone.
   */
  begin(name: string, facts?: Facts, ...causes: readonly (Span | string | undefined)[]): Span | undefined
}
