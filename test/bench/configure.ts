import postgres from 'postgres'

/** Has a PostgreSQL take these settings over: at once where it can, and else at its next start. */
export async function configure(url: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const sql = postgres(url, { max: 1 })
  for (const [name, value] of Object.entries(settings)) await sql.unsafe(`alter system set ${name} = '${value}'`)
  await sql.unsafe('select pg_reload_conf()')
  await sql.end()
}
