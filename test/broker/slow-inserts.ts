import postgres from 'postgres'

interface SlowInserts {
  /** Resolves when so many wait; one by default. */
  waits(count?: number): Promise<void>
  /** Whoever waits is told that it was cancelled, as by an operator. */
  cancel(): Promise<void>
  release(): Promise<void>
}

/** The store keeps whoever inserts messages waiting, or whoever comes up against another lock, until released. */
export async function slowInserts(url: string, lock = 'lock table mesh.message in share mode'): Promise<SlowInserts> {
  const sql = postgres(url, { max: 2, onnotice: () => {} })
  const held = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const locking = sql.begin(async (tx) => {
    await tx.unsafe(lock)
    locked.resolve()
    await held.promise
  })
  await locked.promise
  const waiting = () => sql`select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  const waits = async (count = 1) => {
    while ((await waiting()).length < count);
  }
  const cancel = async () => {
    for (const { pid } of await waiting()) await sql`select pg_cancel_backend(${pid as number})`
  }
  const release = async () => {
    held.resolve()
    await locking
    await sql.end()
  }
  return { waits, cancel, release }
}
