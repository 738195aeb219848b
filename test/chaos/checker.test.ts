import { expect, test } from 'vitest'
import { violations } from './checker.ts'
import type { ClientLog, Entry, Evidence } from './log.ts'

const message = { from: 'Alice', n: 0, to: '@red' }
const second = { from: 'Alice', n: 1, to: '*' }

/** A run in which nothing went wrong: Alice wrote to her group and to everybody, Bob is in the group, and Carol is not. */
const alice: Entry[] = [
  { did: 'send', ...message },
  { did: 'acked', n: 0, recipients: ['Bob'] },
  { did: 'send', ...second },
  { did: 'acked', n: 1, recipients: ['Bob', 'Carol'] },
  { did: 'told', n: 0, of: 'Bob', rung: 'received' },
  { did: 'told', n: 0, of: 'Bob', rung: 'surfaced' },
  { did: 'told', n: 1, of: 'Bob', rung: 'surfaced', final: true },
  { did: 'wrote', key: 'k', version: 1, value: 7 },
]
const bob: Entry[] = [
  { did: 'received', ...message },
  { did: 'surfaced', ...message },
  { did: 'received', ...second },
  { did: 'surfaced', ...second },
  { did: 'saw', key: 'k', version: 1, value: 7 },
  { did: 'wrote', key: 'k', version: 2, value: 8 },
  { did: 'saw', key: 'k', version: 2, value: 8, final: true },
]
const carol: Entry[] = [
  { did: 'received', ...second },
  { did: 'surfaced', ...second },
]

interface Change {
  readonly alice?: readonly Entry[]
  readonly bob?: readonly Entry[]
  readonly carol?: readonly Entry[]
  readonly joined?: number
  readonly used?: number
}

function evidence(change: Change = {}): Evidence {
  const log = (name: string, groups: string[], entries: readonly Entry[]): ClientLog => ({ name, groups, entries })
  return {
    logs: [log('Alice', ['red'], change.alice ?? alice), log('Bob', ['red'], change.bob ?? bob), log('Carol', [], change.carol ?? carol)],
    invite: { max: 1, joined: change.joined ?? 1, used: change.used ?? 1 },
  }
}

test('nothing is found where nothing went wrong', () => {
  expect(violations(evidence())).toEqual([])
})

const without = (entries: readonly Entry[], gone: (entry: Entry) => boolean) => entries.filter((entry) => !gone(entry))
const isSecond = (entry: Entry) => entry.did === 'surfaced' && entry.n === 1

test.each<[string, Change, string]>([
  ['a message that was lost', { carol: without(carol, isSecond) }, 'Carol never saw Alice 1, which was acknowledged'],
  ['a message that was seen twice', { bob: [...bob, { did: 'surfaced', ...second }] }, 'Bob saw Alice 1 twice'],
  ['messages out of order', { bob: [bob[3] as Entry, ...without(bob, isSecond)] }, 'Bob saw Alice 0 after Alice 1'],
  ['a message for others', { carol: [{ did: 'surfaced', ...message }, ...carol] }, 'Carol saw Alice 0, which was for @red'],
  ['a message that nobody sent', { bob: [...bob, { did: 'surfaced', from: 'Carol', n: 0, to: 'Bob' }] }, 'Bob saw Carol 0, which nobody sent so'],
  ['a message sent to somebody else', { bob: [...bob, { did: 'surfaced', from: 'Alice', n: 9, to: 'Bob' }] }, 'Bob saw Alice 9, which nobody sent so'],
  ['a message that could not be opened', { bob: [...bob, { did: 'refused', code: 'cannot_open' }] }, 'Bob refused a message: cannot_open'],
  [
    'a message stored for too few',
    { alice: alice.map((entry) => (entry.did === 'acked' && entry.n === 1 ? { ...entry, recipients: ['Bob'] } : entry)) },
    'Alice 1 was not stored for Carol',
  ],
  [
    'a message stored for too many',
    { alice: alice.map((entry) => (entry.did === 'acked' && entry.n === 0 ? { ...entry, recipients: ['Bob', 'Carol'] } : entry)) },
    'Alice 0 was stored for Carol, whom it was not for',
  ],
  ['a rung too high', { alice: [...alice, { did: 'told', n: 0, of: 'Carol', rung: 'surfaced' }] }, 'Alice 0 is said to be surfaced at Carol, which it is not'],
  [
    'a receipt out of thin air',
    { alice: [...alice, { did: 'told', n: 0, of: 'Carol', rung: 'received' }] },
    'Alice 0 is said to be received at Carol, which it is not',
  ],
  [
    'a rung that stays too low',
    { alice: [...alice, { did: 'told', n: 1, of: 'Carol', rung: 'stored', final: true }] },
    'Alice 1 was seen by Carol, and is still said to be stored',
  ],
  ['a failure', { alice: [...alice, { did: 'told', n: 1, of: 'Carol', rung: 'failed' }] }, 'Alice 1 is said to have failed at Carol'],
  ['a version that goes back', { bob: [...bob, { did: 'saw', key: 'k', version: 1, value: 7 }] }, 'Bob saw k go from version 2 back to 1'],
  ['a version with two values', { carol: [...carol, { did: 'saw', key: 'k', version: 2, value: 9 }] }, 'version 2 of k is 8 and also 9'],
  ['a write that was lost', { alice: [...alice, { did: 'wrote', key: 'k', version: 3, value: 9 }] }, 'k was written in version 3, and ends in 2'],
  ['a key that nobody looked at', { alice: [...alice, { did: 'wrote', key: 'other', version: 1, value: 1 }] }, 'nobody looked at other in the end'],
  ['too many that joined', { joined: 2 }, '2 joined with an invite for 1'],
  ['too many uses', { used: 2 }, 'an invite for 1 counts 2 uses'],
  ['a use that was not counted', { used: 0 }, '1 joined, and the invite counts 0 uses'],
])('%s is found', (_, change, sentence) => {
  expect(violations(evidence(change))).toContain(sentence)
})
