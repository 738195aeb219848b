import postgres from 'postgres'

interface SlowInserts {
  /** Resolves when somebody waits to write. */
  waits(): Promise<void>
  /** Whoever waits is told that it was cancelled, as by an operator. */
  cancel(): Promise<void>
  release(): Promise<void>
}

/** The store keeps whoever writes messages, or into another table, waiting until released. */
export async function slowInserts(url: string, table: 'message' | 'presence' | 'mesh' = 'message'): Promise<SlowInserts> {
  const sql = postgres(url, { max: 2, onnotice: () => {} })
  const held = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const locking = sql.begin(async (tx) => {
    await tx`lock table ${sql(`mesh.${table}`)} in share mode`
    locked.resolve()
    await held.promise
  })
  await locked.promise
  const waits = async () => {
    while ((await sql`select 1 from pg_locks where not granted and relation = ${`mesh.${table}`}::regclass`).length === 0);
  }
  const cancel = async () => {
    await sql`select pg_cancel_backend(pid) from pg_locks where not granted and relation = ${`mesh.${table}`}::regclass`
  }
  const release = async () => {
    held.resolve()
    await locking
    await sql.end()
  }
  return { waits, cancel, release }
}
