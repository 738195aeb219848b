import type { FileId, MeshId } from '@claudemesh/protocol'
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'

/** PostgreSQL's dialect through drizzle: a server or PGlite, told apart by nobody above the drivers. */
export type Database = PgDatabase<PgQueryResultHKT>

/** Where the broker keeps what must survive it. */
export interface Store extends AsyncDisposable {
  readonly db: Database
  /** Brings the schema up to date; safe to call from several brokers at once, and again. */
  migrate(): Promise<void>
  /** Resolves when the store has ended and will not come back in this process; never when it is disposed of. One without it comes back by itself. */
  readonly gone?: Promise<Error>
  /**
   * Claims the store for one broker, `alone`, or as one of several that share a bus; undefined when the claims of others do not allow it. What it gives ends the
   * claim, as does the end of the process; `lost` is called when the claim ended otherwise and could not be renewed. A store that only one process can open
   * needs none.
   */
  claim?(how: 'alone' | 'shared', lost: () => void): Promise<Claim | undefined>
}

export interface Claim extends AsyncDisposable {
  /** To be called now and then: finds out whether it still stands, and if it does not, has it taken again. */
  check(): Promise<void>
}

/** How brokers that serve the same meshes reach each other. It promises speed, not delivery: whatever it loses is found in the store. */
export interface Bus extends AsyncDisposable {
  /** Whether other brokers may be on it. One that is not shared carries nothing. */
  readonly shared: boolean
  /** Hands a text to every subscriber of the subject, this process's own among them; what one publisher sends arrives in order. */
  publish(subject: string, payload: string): void
  /** Resolves once the subscription stands; the function it gives ends it. */
  subscribe(subject: string, listener: (payload: string) => void): Promise<() => void>
  /** Calls back with false when the line is lost, and with true once it stands again. A bus without it is never lost. */
  watch?(listener: (up: boolean) => void): void
}

/** Names one stored object: `<area>/[<day>/]<file>/object` in the bucket or folder of its mesh. The parts are validated ids, so that no driver meets a foreign name. */
export type BlobKey = { readonly mesh: MeshId; readonly file: FileId } & (
  | { readonly area: 'shared' }
  | { /** As 2030-01-31; a day's objects expire together. */ readonly area: 'ephemeral'; readonly day: string }
)

/** Where the bytes of files are, all of them ciphertext. Errors are MeshErrors: storage_full, storage_unavailable, or as said below. */
export interface Blob extends AsyncDisposable {
  /** Begins an upload of exactly `size` bytes, or resumes it; says how many are safe already (`size` once it is finished). */
  upload(key: BlobKey, size: number): Promise<number>
  /**
   * Appends from `offset`, which must be what is safe (else wrong_offset), and resolves with what is safe then. A piece of the body is valid until the next is asked for.
   * A body that throws keeps what is safe and rethrows;
   * one that would go beyond `size` is refused with upload_incomplete, and nothing beyond `size` is kept. Memory stays flat whatever the size.
   */
  append(key: BlobKey, size: number, offset: number, body: AsyncIterable<Uint8Array>): Promise<number>
  /** Makes the object readable, all at once; upload_incomplete unless exactly `size` bytes are safe. Repeating it changes nothing. */
  finish(key: BlobKey, size: number): Promise<void>
  /** A finished object from byte `from`; undefined when there is none. An object shorter than it was ends with storage_unavailable. Each piece is valid until the next is asked for. Returning early frees what it held. */
  read(key: BlobKey, from?: number): Promise<{ readonly size: number; readonly body: AsyncIterable<Uint8Array> } | undefined>
  /** Removes the object, or the upload under way; nothing to remove is no error. */
  remove(key: BlobKey): Promise<void>
  /** Removes unfinished uploads not touched since `before`, and ephemeral objects of days that ended before it. */
  sweep(before: number): Promise<void>
}
