import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'

/** PostgreSQL's dialect through drizzle: a server or PGlite, told apart by nobody above the drivers. */
export type Database = PgDatabase<PgQueryResultHKT>

/** Where the broker keeps what must survive it. */
export interface Store extends AsyncDisposable {
  readonly db: Database
  /** Brings the schema up to date; safe to call from several brokers at once, and again. */
  migrate(): Promise<void>
}

/** How brokers that serve the same meshes reach each other. The local one is a function call. */
export interface Bus extends AsyncDisposable {
  publish(subject: string, payload: unknown): void
  /** Resolves once the subscription stands; the function it gives ends it. */
  subscribe(subject: string, listener: (payload: unknown) => void): Promise<() => void>
}
