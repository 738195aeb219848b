import { sql, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type { Database } from './ports.ts'

/** The rows of a raw statement: drivers disagree on where they put them. Numbers beyond 2^31 arrive as text unless the statement casts them. */
export async function rows<T>(db: Pick<Database, 'execute'>, query: SQL): Promise<T[]> {
  return rowsOf(await db.execute(query))
}

const rowsOf = <T>(result: unknown): T[] => (Array.isArray(result) ? result : (result as { rows: T[] }).rows) as T[]

const dialect = new PgDialect()

/** As `rows`, for statements of few texts that are asked all the time: the server reads each once per connection, which spares them a round trip as well. */
export async function preparedRows<T>(db: Database, query: SQL): Promise<T[]> {
  return rowsOf(await db._.session.prepareQuery(dialect.sqlToQuery(query), undefined, 'kept', false).execute())
}

/** A column of values for `unnest`. */
// It travels as text joined by line feeds, which no id, key, base64url text or JSON contains: cheaper on both ends than an array literal.
export const column = (values: readonly (string | number)[]) => sql`string_to_array(${values.join('\n')}::text, E'\n')`
