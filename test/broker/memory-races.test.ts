import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { b64u, testBroker, TestMesh, type Frame } from './kit.ts'

const record = () => ({ e: 1, n: b64u(24), c: b64u(300) })

/** Two peers, and the way to have both ask the store for something at the very same time. */
async function scene(stack: AsyncDisposableStack) {
  const store = await postgresUrl(inject('postgres'))
  const broker = stack.use(await testBroker(store))
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const peers = [stack.use(await mesh.peer('Alice')), stack.use(await mesh.peer('Bob'))]
  const sql = postgres(store, { max: 2, onnotice: () => {} })
  stack.defer(() => sql.end())
  const atOnce = async (frame: () => Frame): Promise<Frame[]> => {
    const answers = await sql.begin(async (tx) => {
      await tx`select 1 from mesh.memory_head where mesh_id = ${mesh.id} for update`
      const asked = peers.map((peer) => peer.wire.ask(frame()))
      while ((await sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length < 2);
      return { asked }
    })
    return Promise.all(answers.asked)
  }
  const head = () => sql`select seq::int, live, total from mesh.memory_head where mesh_id = ${mesh.id}`
  return { peers, atOnce, head }
}

test('a memory that two forget at the same time is counted as forgotten once, and moves up once', async () => {
  await using stack = new AsyncDisposableStack()
  const { peers, atOnce, head } = await scene(stack)
  const [gone, kept] = [b64u(16), b64u(16)]
  for (const memoryId of [gone, kept]) {
    expect(await peers[0]?.wire.ask({ type: 'remember', memoryId, record: record() })).toMatchObject({ type: 'memory_stored' })
  }
  // A writer keeps its certificates first.
  for (const peer of peers) await peer.wire.ask({ type: 'forget', memoryId: b64u(16), record: record() })
  for (const answer of await atOnce(() => ({ type: 'forget', memoryId: gone, record: record() }))) expect(answer).toMatchObject({ type: 'ok' })
  expect(await head()).toEqual([{ seq: 3, live: 1, total: 2 }])
})

test('a memory that comes twice at the same time, as after a reconnect, is counted once', async () => {
  await using stack = new AsyncDisposableStack()
  const { peers, atOnce, head } = await scene(stack)
  for (const peer of peers) await peer.wire.ask({ type: 'remember', memoryId: b64u(16), record: record() })
  const frame = { type: 'remember', memoryId: b64u(16), record: record() }
  for (const answer of await atOnce(() => frame)) expect(answer).toMatchObject({ type: 'memory_stored' })
  expect(await head()).toMatchObject([{ live: 3, total: 3 }])
})
