import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { testBroker, TestMesh, type Peer } from './kit.ts'

/** Lets messages into the store batch by batch: one waits at the gate, until it is let in and the next one waits. */
async function gateOf(url: string) {
  const sql = postgres(url, { max: 4, onnotice: () => {} })
  const waits = async (mode: 'RowExclusiveLock' | 'ShareLock') => {
    while ((await sql`select from pg_locks where relation = 'mesh.message'::regclass and mode = ${mode} and not granted`).length === 0);
  }
  const closed = async () => {
    const session = await sql.reserve()
    await session`begin`
    const shut = session.unsafe('lock table mesh.message in share mode').execute()
    return {
      shut,
      open: async () => {
        await shut
        await session`commit`
        session.release()
      },
    }
  }
  let gate = await closed()
  await gate.shut
  return {
    /** A batch waits. */
    batch: () => waits('RowExclusiveLock'),
    /** The batch that waits is stored, and the one after it waits. */
    letIn: async () => {
      const before = gate
      // Its turn comes right after the batch that waits.
      gate = await closed()
      await waits('ShareLock')
      await before.open()
      await gate.shut
      await waits('RowExclusiveLock')
    },
    open: () => gate.open(),
    [Symbol.asyncDispose]: () => sql.end(),
  }
}

/** Sends without waiting for the answer, which comes with the commit. */
async function post(from: Peer, to: Peer, text: string): Promise<unknown> {
  const frame = from.sendFrame([to.key], text)
  from.wire.send(frame)
  await from.wire.ask({ type: 'get_policy' })
  return frame['id']
}

test('what is surfaced while the queue is still being read is not pushed again', async () => {
  const url = await postgresUrl(inject('postgres'))
  await using broker = await testBroker(url)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using gate = await gateOf(url)
  await using alice = await mesh.peer('Alice')
  await using carol = await mesh.peer('Carol')
  // Each message to Carol keeps the store busy, so that what Bob's feed does next waits behind it.
  await post(alice, carol, 'one')
  await gate.batch()
  await using bob = await mesh.peer('Bob')
  const sent = [await post(alice, bob, 'first')]
  await gate.letIn()
  await post(alice, carol, 'two')
  await gate.letIn()
  expect(await bob.wire.next('push')).toMatchObject({ id: sent[0] })
  // From here on his feed holds what is sent, and the queue is about to show more of it than fits a page.
  for (let i = 0; i < 120; i++) sent.push(await post(alice, bob, `held ${i}`))
  await gate.letIn()
  await post(alice, carol, 'three')
  await gate.letIn()
  for (const id of sent.slice(1, 101)) {
    const push = await bob.wire.next('push')
    expect(push['id']).toBe(id)
    bob.surface(push['messageId'])
  }
  await bob.wire.ask({ type: 'get_policy' })
  await gate.open()
  for (const id of sent.slice(101)) expect(await bob.wire.next('push')).toMatchObject({ id })
  sent.push(await post(alice, bob, 'last'))
  expect(await bob.wire.next('push')).toMatchObject({ id: sent.at(-1) })
  expect(bob.wire.seen.filter(({ type }) => type === 'push').map((push) => push['id'])).toEqual(sent)
  expect(await broker.consistencyCheck()).toEqual([])
})
