import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OutboxEntry } from '@claudemesh/client'
import { limits, type MessageId } from '@claudemesh/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mailSeen } from '../../apps/cli/src/home/mail-seen.ts'
import { memberCache } from '../../apps/cli/src/home/member-cache.ts'
import { openOutbox, settledIn } from '../../apps/cli/src/home/outbox.ts'

let home: string
const notices: string[] = []
let clock = Date.now()
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'claudemesh-outbox-'))
  notices.length = 0
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const open = () => openOutbox({ home, mesh: 'm', now: () => clock, notice: (text) => notices.push(text) })
const folder = () => join(home, 'outbox', 'm')
const idOf = (n: number) => String(n).padStart(22, '0') as MessageId
const entry = (n: number, bytes = 10, at = 1000): OutboxEntry => ({
  id: idOf(n),
  at,
  to: ['Bob'],
  session: 's' as never,
  chain: ['c'],
  presence: 'p',
  frame: { id: idOf(n) as never, targetSpec: '*', priority: 'next', nonce: 'n', to: 't', ciphertext: 'x'.repeat(bytes) },
})
const ids = (port = open()) => port.list().map(({ id }) => Number(id))

test('what is kept is there for every process, in order, for this user alone', () => {
  for (const n of [3, 1, 2]) open().keep(entry(n))
  // The clock may go back.
  open().keep(entry(0, 10, 500))
  expect(ids()).toEqual([3, 1, 2, 0])
  expect(open().list()[0]).toEqual(entry(3))
  expect(statSync(folder()).mode & 0o777).toBe(0o700)
  for (const name of readdirSync(folder())) expect(statSync(join(folder(), name)).mode & 0o777).toBe(0o600)
})

test('what left is remembered for a week', () => {
  const port = open()
  port.keep(entry(1))
  port.keep(entry(2))
  expect(port.find(idOf(1))).toEqual({ keptAt: 1000 })
  port.settle(idOf(1), { sentAt: 2000 })
  port.settle(idOf(2), { failedAt: 3000, failed: 'expired' })
  port.settle(idOf(9), { sentAt: 2000 })
  expect(ids()).toEqual([])
  expect(port.find(idOf(1))).toEqual({ keptAt: 1000, sentAt: 2000 })
  expect(settledIn(home, 'm')).toMatchObject([{ id: idOf(1) }, { id: idOf(2), failed: 'expired' }])
  port.keep(entry(3))
  clock += 8 * 86_400_000
  port.settle(idOf(3), { sentAt: 4000 })
  expect(port.find(idOf(1))).toBeUndefined()
  clock = Date.now()
})

test('full: by number, and by bytes', () => {
  const port = open()
  const big = Math.ceil(limits.outboxBytes / 4)
  for (let n = 0; n < 3; n++) port.keep(entry(n, big))
  expect(() => port.keep(entry(3, big))).toThrow(expect.objectContaining({ code: 'outbox_full' }))
  for (const { id } of port.list()) port.settle(id, { sentAt: 1 })
  for (let n = 0; n < limits.outboxMessages; n++) writeFileSync(join(folder(), `000000000001000-${idOf(n)}.json`), '', { mode: 0o600 })
  expect(() => port.keep(entry(5))).toThrow(expect.objectContaining({ code: 'outbox_full' }))
  expect(port.find(idOf(5))).toBeUndefined()
})

test('a torn file is put aside and told of; nothing else is lost', () => {
  const port = open()
  for (const n of [1, 2, 3]) port.keep(entry(n))
  const torn = readdirSync(folder()).find((name) => name.includes(idOf(2))) as string
  truncateSync(join(folder(), torn), 40)
  writeFileSync(join(folder(), 'draft.json.abc.tmp'), '{', { mode: 0o600 })
  expect(ids()).toEqual([1, 3])
  expect(notices).toEqual([expect.stringMatching(/damaged.*\.broken$/)])
  expect(ids()).toEqual([1, 3])
  expect(notices).toHaveLength(1)
  // A draft of a process that died goes when it is an hour old.
  utimesSync(join(folder(), 'draft.json.abc.tmp'), 1, 1)
  port.settle(idOf(1), { sentAt: 1 })
  expect(existsSync(join(folder(), 'draft.json.abc.tmp'))).toBe(false)
})

test('what cannot be written is said, and leaves nothing', () => {
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'outbox'), '', { mode: 0o600 })
  expect(() => open().keep(entry(1))).toThrow(expect.objectContaining({ code: 'outbox_unwritable', message: expect.stringContaining('could not be kept') }))
  expect(ids()).toEqual([])
})

test('one task at a time; the lock of a process that died is taken over', async () => {
  const port = open()
  port.keep(entry(1))
  const ran: string[] = []
  await port.exclusively(async () => {
    await open().exclusively(async () => void ran.push('inner'))
    ran.push('outer')
  })
  expect(ran).toEqual(['outer'])
  writeFileSync(join(folder(), 'lock'), '999999999', { mode: 0o600 })
  await port.exclusively(async () => void ran.push('after a death'))
  expect(ran).toEqual(['outer', 'after a death'])
  await expect(port.exclusively(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  expect(existsSync(join(folder(), 'lock'))).toBe(false)
})

test('mail that was shown is known to every process for two weeks', () => {
  let day = 100
  const seen = () => mailSeen(home, 'm', () => day * 86_400_000)
  const [one, other] = [seen(), seen()]
  expect(other.has(idOf(1))).toBe(false)
  one.add([idOf(1), idOf(2)])
  expect(other.has(idOf(1))).toBe(true)
  other.add([idOf(3)])
  expect(one.has(idOf(3))).toBe(true)
  expect(statSync(join(home, 'mail', 'm', '100')).mode & 0o777).toBe(0o600)
  day += 14
  expect(seen().has(idOf(2))).toBe(true)
  day += 1
  expect(seen().has(idOf(2))).toBe(false)
  seen().add([idOf(4)])
  expect(readdirSync(join(home, 'mail', 'm'))).toEqual(['115'])
})

test('a damaged list of members is as good as none', () => {
  const cache = memberCache(home, 'm')
  expect(cache.load()).toBeUndefined()
  cache.save({ at: 5, chains: [['a']] })
  expect(memberCache(home, 'm').load()).toEqual({ at: 5, chains: [['a']] })
  writeFileSync(join(home, 'members', 'm'), '{"at":')
  expect(cache.load()).toBeUndefined()
})
