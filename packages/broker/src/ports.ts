import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'

/** PostgreSQL's dialect through drizzle: a server or PGlite, told apart by nobody above the drivers. */
export type Database = PgDatabase<PgQueryResultHKT>

/** Where the broker keeps what must survive it. */
export interface Store extends AsyncDisposable {
  readonly db: Database
  /** Brings the schema up to date; safe to call from several brokers at once, and again. */
  migrate(): Promise<void>
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
