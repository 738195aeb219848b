import type { ErrorCode } from '@claudemesh/protocol'
import { sealAead } from '../src/aead.ts'
import { fromB64u, toB64u } from '../src/base64.ts'
import { sealKeybox, type Keybox } from '../src/keybox.ts'
import { subkey, type Back } from '../src/mesh-keys.ts'
import { issueRecord } from '../src/signed-records.ts'
import { signToken } from '../src/token.ts'
import type { Negative } from './negative.ts'
import type { sealed } from './sealed.ts'
import { chainOf, day, now, seeded, skew, type World } from './world.ts'

type Honest = ReturnType<typeof sealed>

const bin = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
const flip = (text: string): string => {
  const bytes = fromB64u(text)
  bytes[0] = (bytes[0] ?? 0) ^ 1
  return toB64u(bytes)
}

/** What must be refused of mesh keys, their boxes, and records. */
export const sealedCases = (w: World, other: World, honest: Honest): Negative[] => [
  ...backCases(w, other, honest),
  ...keyboxCases(w, other, honest),
  ...recordCases(w, other, honest),
  ...signedCases(w, other),
]

function backCases(w: World, other: World, { backs, meshKeys }: Honest): Negative[] {
  const back = backs[1]?.back as Back
  const third = meshKeys[2]?.key
  const refuse = (name: string, change: object): Negative => ({
    name: `back: ${name}`,
    operation: 'back',
    input: { back, mesh: w.mesh, epoch: 3, key: third, ...change },
    error: 'cannot_open',
  })
  return [
    refuse('the key of another epoch', { key: meshKeys[1]?.key }),
    refuse('another epoch', { epoch: 2 }),
    refuse('another mesh', { mesh: other.mesh }),
    refuse('changed', { back: { ...back, c: flip(back.c) } }),
    refuse('another nonce', { back: { ...back, n: flip(back.n) } }),
    refuse('a short nonce', { back: { ...back, n: 'AAAA' } }),
    refuse('of the epoch before', { back: backs[0]?.back }),
  ]
}

function keyboxCases(w: World, other: World, { keyboxes, meshKeys }: Honest): Negative[] {
  const { box } = keyboxes.member
  const third = meshKeys[2]
  const make = (o: object): Keybox =>
    sealKeybox({ mesh: w.mesh, epoch: 3, key: bin(third?.key ?? ''), reader: w.member.publicKey, rotator: w.admin, random: seeded('bad keybox'), ...o })
  const refuse = (name: string, change: Partial<Keybox>, o: object = {}): Negative => ({
    name: `keybox: ${name}`,
    operation: 'keybox',
    input: { box: { ...box, ...change }, mesh: w.mesh, reader: 'member', commit: third?.commit, ...o },
    error: 'bad_keybox',
  })
  return [
    refuse('opened by another member', {}, { reader: 'admin' }),
    refuse('of the invite, given to the member', keyboxes.invite.box),
    refuse('changed', { c: flip(box.c) }),
    refuse('another nonce', { n: flip(box.n) }),
    refuse('another rotator named', { by: w.root.publicKey }),
    refuse('no key as rotator', { by: 'AA' as never }),
    refuse('for another mesh', make({ mesh: other.mesh })),
    refuse('another epoch claimed', { e: 2 }),
    refuse('of a rogue member, another key in it', make({ key: seeded('rogue')(32), rotator: w.member })),
    refuse('the key of an earlier epoch', make({ key: bin(meshKeys[1]?.key ?? '') })),
    refuse('an earlier epoch in place of this one', make({ epoch: 2, key: bin(meshKeys[1]?.key ?? '') })),
  ]
}

function recordCases(w: World, other: World, { records, meshKeys }: Honest): Negative[] {
  const [state, memory] = records
  const key = meshKeys[2]?.key
  const refuse = (name: string, error: ErrorCode, change: object, o: object = {}): Negative => ({
    name: `record: ${name}`,
    operation: 'record',
    input: { record: { ...state?.record, ...change }, mesh: w.mesh, purpose: 'state', id: state?.id, key, ...o },
    error,
  })
  const bytes = (plain: Uint8Array) => sealAead(subkey(bin(key ?? ''), 'state'), state?.context ?? '', plain, seeded('bad record'))
  const notText = new Uint8Array(256)
  notText.set([0, 0, 0, 1, 0xff])
  return [
    refuse('moved to another row', 'cannot_open', {}, { id: 'AAAAAAAAAAAAAAAAAAAAAA' }),
    refuse('passed off as a memory', 'cannot_open', {}, { purpose: 'memory' }),
    refuse('a memory passed off as state', 'cannot_open', { ...memory?.record }),
    refuse('another epoch claimed', 'cannot_open', { e: 2 }),
    refuse('the key of an earlier epoch', 'cannot_open', {}, { key: meshKeys[1]?.key }),
    refuse('another mesh', 'cannot_open', {}, { mesh: other.mesh }),
    refuse('changed', 'cannot_open', { c: flip(state?.record.c ?? '') }),
    refuse('not text', 'cannot_open', bytes(notText)),
    refuse('not padded', 'bad_padding', bytes(new Uint8Array(10))),
    refuse('padding not zero', 'bad_padding', bytes(new Uint8Array(256).fill(1, 255))),
  ]
}

function signedCases(w: World, other: World): Negative[] {
  const good = { mesh: w.mesh, session: w.alice, key: 'k', val: 1, ver: 1, ts: now }
  const refuse = (name: string, token: string, type = 'state'): Negative => ({
    name: `signed record: ${name}`,
    operation: 'signed record',
    input: { token, type, mesh: w.mesh, chain: chainOf(w), now },
    error: 'bad_record',
  })
  return [
    refuse('by another session', issueRecord('state', { ...good, session: w.bob })),
    refuse('names another session', signToken('state', { m: w.mesh, k: w.bob.publicKey, key: 'k', val: 1, ver: 1, ts: now }, w.alice)),
    refuse('of another mesh', issueRecord('state', { ...good, mesh: other.mesh })),
    refuse('another type', issueRecord('state', good), 'memory'),
    refuse('before its writer’s certificate', issueRecord('state', { ...good, ts: now - skew - 1 })),
    refuse('after its writer’s certificate', issueRecord('state', { ...good, ts: now + day + skew + 1 })),
    refuse('neither value nor deletion', issueRecord('state', { ...good, val: undefined })),
    refuse('a value in a deletion', issueRecord('state', { ...good, deleted: true })),
    refuse('version zero', issueRecord('state', { ...good, ver: 0 })),
    refuse('not a token', 'hello'),
  ]
}
