import type { TokenCache } from '@claudemesh/crypto'
import type { Clock, Log, Priority, SessionPubkey } from '@claudemesh/protocol'
import type { Census } from './census.ts'
import type { Limiter } from './limiter.ts'
import type { Load } from './load.ts'
import type { Meter } from './meter.ts'
import type { Mesh } from './mesh.ts'
import type { Meshes } from './meshes.ts'
import type { Nodes } from './nodes.ts'
import type { Blob, Database } from './ports.ts'
import type { Presence } from './presence.ts'
import type { ReadingRoom } from './reading.ts'
import type { Recent } from './recent.ts'
import type { Session } from './session.ts'
import type { SharedChains } from './shared-chains.ts'
import type { Tracer } from './tracing.ts'
import type { Transfers } from './transfers.ts'
import type { Turn } from './turn.ts'
import type { Writer } from './writer.ts'

/** What the broker can see of one envelope: who, to whom, how much, and the first characters of the ciphertext. */
export interface Tapped {
  readonly senderPubkey: SessionPubkey
  readonly recipients: readonly SessionPubkey[]
  readonly targetSpec: string
  readonly priority: Priority
  readonly bytes: number
  readonly ciphertext: string
}

/** The text of the metrics; undefined for whoever may not read them. */
export type MetricsPage = (authorization: string | undefined) => Promise<{ readonly type: string; readonly text: string } | undefined>

/** What every part of the broker may use. */
export interface Kernel {
  readonly db: Database
  /** Where files are; a broker without one keeps none. */
  readonly blob: Blob | undefined
  readonly transfers: Transfers
  /** Bytes that the files of one mesh may take. */
  readonly fileQuota: number
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  readonly census: Census
  /** Absent unless somebody wants to know: then nothing is spent on it. */
  readonly tracer: Tracer | undefined
  readonly limiter: Limiter
  readonly load: Load
  readonly turn: Turn
  readonly reading: ReadingRoom
  readonly writer: Writer
  readonly meshes: Meshes
  readonly recent: Recent
  /** The other brokers on this store. */
  readonly nodes: Nodes
  /** Certificates that verified before. */
  readonly tokens: TokenCache
  /** Certificates that sessions have in common. */
  readonly chains: SharedChains
  /** The addresses under which clients may have dialled this broker. */
  readonly audiences: ReadonlySet<string>
  /** Origins of web pages that may connect. */
  readonly pages: ReadonlySet<string>
  readonly allowCreate: boolean
  readonly startedAt: number
  /** Of the program that runs the broker, told to whoever asks how it is. */
  readonly version: string | undefined
  /** Whether it is going down. */
  readonly draining: () => boolean
  readonly metrics: MetricsPage | undefined
  readonly tap: ((frame: Tapped) => void) | undefined
}

/** A connection that has not said hello. */
export interface Greeting {
  readonly kernel: Kernel
  readonly session: Session
  readonly nonce: string
}

/** A connection that proved its member and session: authority comes from here, never from a frame. */
export interface Ready {
  readonly kernel: Kernel
  readonly session: Session
  readonly mesh: Mesh
  readonly me: Presence
}
