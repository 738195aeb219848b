// What a store that holds millions of messages still takes, beside an empty one: with PostgreSQL's own settings, and with those that the README names.
import postgres from 'postgres'
import { openStore } from '@claudemesh/drivers'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { configure } from './configure.ts'
import { measure } from './relay/measure.ts'
import { nodeServer } from './relay/servers.ts'
import { ratioRow, type Row } from './table.ts'

const messages = 3_000_000
const seconds = 20
const load = { by: 'load', job: { shape: 'pairs', size: 50, depth: 32, durable: true, plain: false }, pinned: false } as const
const roomy = { shared_buffers: '2GB', max_wal_size: '16GB' }

export async function filledBench(): Promise<Row[]> {
  await using server = await startPostgres({ durable: true })
  const acked = async (url: string) => (await measure(() => nodeServer(url, false), load, seconds)).perSecond
  const empty = await acked(await postgresUrl(server.url))
  const url = await postgresUrl(server.url)
  await fill(url)
  const filled = await acked(url)
  await configure(server.url, roomy)
  await server.stop('fast')
  await server.start()
  return [
    ratioRow('filled', `acked sends, ${messages / 1e6} million stored, PostgreSQL's defaults`, filled, empty, 'msg/s'),
    ratioRow('filled', 'the same with room for indexes and log', await acked(url), empty, 'msg/s'),
  ]
}

/** Messages that were shown: with ids in no order, as those of senders are. */
async function fill(url: string): Promise<void> {
  await (await openStore(url))[Symbol.asyncDispose]()
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const id = "translate(rtrim(encode(decode(md5(i::text), 'hex'), 'base64'), '='), '+/', '-_')"
  const now = Date.now()
  const step = 100_000
  for (let i = 0; i < messages; i += step) {
    const range = `generate_series(${i + 1}, ${i + step}) i`
    await sql.unsafe(
      `insert into mesh.message (mesh_id, id, client_id, sender_pubkey, sender_member_id, target_spec, priority, nonce, ciphertext, created_at)
        select repeat('m', 22), ${id}, ${id}, repeat('s', 43), repeat('b', 22), '"' || repeat('r', 43) || '"', 'next', repeat('n', 32), repeat('x', 1100), ${now} from ${range}`,
    )
    await sql.unsafe(
      `insert into mesh.delivery (mesh_id, message_id, recipient_pubkey, sender_pubkey, size_bytes, rung, at)
        select repeat('m', 22), ${id}, repeat('r', 43), repeat('s', 43), 1100, 'surfaced', ${now} from ${range}`,
    )
  }
  await sql.unsafe('vacuum analyze')
  await sql.unsafe('checkpoint')
  await sql.end()
}
