import { PgDialect } from 'drizzle-orm/pg-core'
import type { SQL } from 'drizzle-orm'
import type { ClientId, MemberId, MemberPubkey, MeshId, MessageId, RecipientPubkey, SessionPubkey } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
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
