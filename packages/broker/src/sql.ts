import { sql, type SQL } from 'drizzle-orm'
import type { Database } from './ports.ts'

/** The rows of a raw statement: drivers disagree on where they put them. Numbers beyond 2^31 arrive as text unless the statement casts them. */
export async function rows<T>(db: Pick<Database, 'execute'>, query: SQL): Promise<T[]> {
  const result: unknown = await db.execute(query)
  return (Array.isArray(result) ? result : (result as { rows: T[] }).rows) as T[]
}

/** A column of values for `unnest`. */
// It travels as text joined by line feeds, which no id, key, base64url text or JSON contains: cheaper on both ends than an array literal.
export const column = (values: readonly (string | number)[]) => sql`string_to_array(${values.join('\n')}::text, E'\n')`
