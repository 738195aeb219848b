import { PgDialect } from 'drizzle-orm/pg-core'
import { sql, type SQL } from 'drizzle-orm'
import { openStore } from '@claudemesh/drivers'
import type { ClientId, MemberId, MemberPubkey, MeshId, MessageId, RecipientPubkey, SessionPubkey } from '@claudemesh/protocol'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { rows } from '../../packages/broker/src/sql.ts'
import { insertStatement, receiptStatement, type Entry, type Receipt } from '../../packages/broker/src/statements.ts'

const receipt = (n: number, rung: Receipt['rung']): Receipt => ({
  meshId: 'mesh' as MeshId,
  messageId: `m${n}` as MessageId,
  recipient: `r${n}` as RecipientPubkey,
  rung,
  reason: rung === 'failed' ? 'cannot_open' : '',
  at: n,
})

const entry = (n: number, recipients: number, mail: number, early?: Receipt['rung']): Entry => ({
  meshId: 'mesh' as MeshId,
  id: `m${n}` as MessageId,
  clientId: `c${n}` as ClientId,
  sender: 'sender' as SessionPubkey,
  senderMember: 'member' as MemberId,
  targetSpec: '"*"',
  priority: 'next',
  nonce: 'nonce',
  body: 'body',
  createdAt: n,
  recipients: Array.from({ length: recipients }, (_, i) => `r${i}` as SessionPubkey),
  wraps: [],
  mail: Array.from({ length: mail }, (_, i) => ({ member: `p${i}` as MemberPubkey, wrap: 'wrap', holder: undefined })),
  full: [],
  span: undefined,
  early: early && new Map([['r0' as RecipientPubkey, receipt(n, early)]]),
  settled: () => {},
})

const texts = (statements: SQL[]) => new Set(statements.map((statement) => new PgDialect().sqlToQuery(statement).sql)).size

// A server keeps what it prepared for as long as a connection lasts.
test('however many messages and receipts there are, of whatever kind, the server prepares four statements', () => {
  const inserts = [1, 2, 100].flatMap((many) => {
    const batch = (...of: [number, number, Receipt['rung']?]) => insertStatement(Array.from({ length: many }, (_, n) => entry(n, ...of)))
    return [batch(0, 0), batch(1, 0), batch(9, 0), batch(1, 0, 'surfaced'), batch(1, 0, 'failed'), batch(0, 1), batch(3, 2), batch(3, 2, 'received')]
  })
  expect(texts(inserts)).toBe(3)
  const rungs = ['received', 'surfaced', 'failed'] as const
  expect(texts([1, 2, 100].map((many) => receiptStatement(Array.from({ length: many }, (_, n) => receipt(n, rungs[n % 3] ?? 'received')))))).toBe(1)
})

test('receipts find their deliveries by key, however much is queued for others', async () => {
  await using store = await openStore(await postgresUrl(inject('postgres')))
  for (let i = 0; i < 5; i++) {
    const some = Array.from({ length: 1000 }, (_, n) => entry(i * 1000 + n, 1, 0))
    await rows(store.db, insertStatement(some))
  }
  for (const many of [20, 100, 500]) {
    const some = Array.from({ length: many }, (_, n) => ({ ...receipt(n, 'surfaced'), recipient: 'r0' as RecipientPubkey }))
    const plan = await rows<Record<string, string>>(store.db, sql`explain ${receiptStatement(some)}`)
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).not.toContain('delivery_queue_idx')
    expect(await rows(store.db, receiptStatement(some))).toHaveLength(many)
    expect(await rows(store.db, receiptStatement(some))).toEqual([])
    await rows(store.db, sql`update mesh.delivery set rung = 'stored' where rung = 'surfaced'`)
  }
})
