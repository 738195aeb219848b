// The vectors of mesh keys, key boxes and records, in both implementations.
import { readFileSync } from 'node:fs'
import {
  backHash,
  commitMeshKey,
  inviteKey,
  memberKey,
  openBack,
  openKeybox,
  openRecord,
  parseInviteLink,
  peekRecord,
  ready,
  sealKeybox,
  sealRecord,
  stateId,
  verifyChain,
  verifyRecord,
  webRandom,
  type Back,
  type InviteKey,
  type Keybox,
  type MemberKey,
  type Purpose,
  type SealedRecord,
} from '@claudemesh/crypto'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { makeVectors } from '../../packages/crypto/generate-vectors.ts'
import * as second from './second-sealed.ts'
import { inviteSeed, keysOf, readToken, type Keys } from './second.ts'
import { makeWorld, refuses, seed } from './world.ts'

type Vectors = Awaited<ReturnType<typeof makeVectors>>
const vectors = JSON.parse(readFileSync(new URL('../../packages/crypto/vectors/cm1.json', import.meta.url), 'utf8')) as Vectors
const { mesh, sealed } = vectors
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bin = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const nonceOf = (box: { n: string }) => new Uint8Array(Buffer.from(box.n, 'base64url'))
const meshKey = (epoch: number) => bin(sealed.meshKeys[epoch - 1]?.key ?? '')
const negative = (operation: string) => vectors.negative.filter((c) => c.operation === operation).map((c) => [c.name, c.error, c.input as never] as const)

beforeAll(ready)

type BackInput = { back: Back; mesh: typeof mesh; epoch: number; key: string }
type KeyboxInput = { box: Keybox; mesh: typeof mesh; reader: 'member' | 'admin' | 'invite'; commit: string }
type RecordInput = { record: SealedRecord; mesh: typeof mesh; purpose: Purpose; id: string; key: string }
type SignedInput = { token: string; type: Purpose; mesh: typeof mesh; chain: string[]; now: number }

describe('the production code', () => {
  const root = () => parseInviteLink(vectors.inviteLink).root
  const reader = (name: string): MemberKey | InviteKey => {
    const bytes = bin(vectors.keys[name]?.seed ?? '')
    return name === 'invite' ? inviteKey(root(), bytes) : memberKey(bytes)
  }
  const chain = (tokens: string[]) => verifyChain(tokens, { mesh, root: root(), now: vectors.now, ends: 'session' })

  test('opens every key box, back and record', () => {
    for (const name of ['member', 'invite'] as const) {
      const opened = openKeybox(sealed.keyboxes[name].box, { mesh, reader: reader(name), commit: sealed.meshKeys[2]?.commit ?? '' })
      expect(hex(opened)).toBe(sealed.meshKeys[2]?.key)
    }
    for (const { epoch, back } of sealed.backs) expect(openBack(back, { mesh, epoch, key: meshKey(epoch) })).toEqual(meshKey(epoch - 1))
    for (const { purpose, id, token, record } of sealed.records) {
      expect(openRecord(record, { mesh, purpose, id, key: meshKey(3) })).toBe(token)
      expect(peekRecord(token, purpose)).toEqual({ k: vectors.keys['alice']?.publicKey, ts: vectors.now })
      expect(verifyRecord(token, purpose, { mesh, chain: chain(vectors.box.chain) })).toMatchObject({ k: vectors.keys['alice']?.publicKey })
    }
  })

  test.each(negative('back'))('refuses %s as %s', (_name, error, o: BackInput) => refuses(error, /./, () => openBack(o.back, { ...o, key: bin(o.key) })))
  test.each(negative('keybox'))('refuses %s as %s', (_name, error, o: KeyboxInput) =>
    refuses(error, /./, () => openKeybox(o.box, { ...o, reader: reader(o.reader) })),
  )
  test.each(negative('record'))('refuses %s as %s', (_name, error, o: RecordInput) =>
    refuses(error, /./, () => openRecord(o.record, { ...o, key: bin(o.key) })),
  )
  test.each(negative('signed record'))('refuses %s as %s', (_name, error, o: SignedInput) =>
    refuses(error, /./, () => verifyRecord(o.token, o.type, { mesh, chain: chain(o.chain) })),
  )
})

describe('the second implementation', () => {
  const keys = (name: string): Keys => {
    const bytes = bin(vectors.keys[name]?.seed ?? '')
    return keysOf(name === 'invite' ? inviteSeed(vectors.keys['root']?.publicKey ?? '', bytes) : bytes)
  }

  test('derives subkeys, commitments and the rows of state keys', () => {
    for (const { epoch, key, commit, subkeys } of sealed.meshKeys) {
      expect(second.commit(mesh, epoch, bin(key))).toBe(commit)
      for (const [purpose, made] of Object.entries(subkeys)) expect(hex(second.subkey(bin(key), purpose as 'state'))).toBe(made)
    }
    for (const { key, id } of sealed.stateIds) expect(second.stateId(meshKey(1), key)).toBe(id)
    expect(new Set(sealed.stateIds.map((row) => row.id)).size).toBe(2)
  })

  test('makes and opens the key boxes, value by value', () => {
    for (const name of ['member', 'invite'] as const) {
      const vector = sealed.keyboxes[name]
      expect(hex(second.binding(mesh, 3, vector.reader))).toBe(vector.binding)
      const made = second.sealKeybox({ mesh, epoch: 3, key: meshKey(3), reader: vector.reader, rotator: keys('admin'), nonce: nonceOf(vector.box) })
      expect(made).toEqual(vector.box)
      expect(second.openKeybox(vector.box, { mesh, reader: keys(name), commit: sealed.meshKeys[2]?.commit ?? '' })).toEqual(meshKey(3))
    }
  })

  test('makes and opens the way back', () => {
    let earlier: string | undefined
    for (const { epoch, back, hash } of sealed.backs) {
      const made = second.sealBack(mesh, epoch, meshKey(epoch), meshKey(epoch - 1), nonceOf(back))
      expect({ ...made, ...(earlier !== undefined && { h: earlier }) }).toEqual(back)
      expect(second.backHash(back as never)).toBe(hash)
      expect(second.openBack(back, mesh, epoch, meshKey(epoch))).toEqual(meshKey(epoch - 1))
      earlier = hash
    }
  })

  test('makes, opens and verifies the records', () => {
    for (const { purpose, id, token, padded, record } of sealed.records) {
      const made = second.sealRecord({ mesh, purpose, epoch: 3, key: meshKey(3), id, token, nonce: nonceOf(record) })
      expect(made).toEqual(record)
      expect(
        Buffer.from(padded, 'hex')
          .subarray(4, 4 + token.length)
          .toString(),
      ).toBe(token)
      expect(second.openRecord(record, { mesh, purpose, id, key: meshKey(3) })).toBe(token)
      expect(readToken(purpose, token, vectors.keys['alice']?.publicKey ?? '')).toMatchObject({ t: purpose, m: mesh })
    }
  })

  test.each(negative('back'))('refuses %s as %s', (_name, error, o: BackInput) =>
    expect(() => second.openBack(o.back, o.mesh, o.epoch, bin(o.key))).toThrow(new Error(error)),
  )
  test.each(negative('keybox'))('refuses %s as %s', (_name, error, o: KeyboxInput) =>
    expect(() => second.openKeybox(o.box, { ...o, reader: keys(o.reader) })).toThrow(new Error(error)),
  )
  test.each(negative('record'))('refuses %s as %s', (_name, error, o: RecordInput) =>
    expect(() => second.openRecord(o.record, { ...o, key: bin(o.key) })).toThrow(new Error(error)),
  )
})

describe('what either implementation makes opens in the other', () => {
  const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const purposes = fc.constantFrom<Purpose>('state', 'memory', 'file')

  test('records', () => {
    const w = makeWorld()
    fc.assert(
      fc.property(bytes32, purposes, fc.string({ unit: 'binary', maxLength: 2000 }), fc.string(), fc.nat(), (key, purpose, token, id, epoch) => {
        const row = { mesh: w.mesh, purpose, id, key }
        expect(second.openRecord(sealRecord({ ...row, epoch, token, random: webRandom }), row)).toBe(token)
        expect(openRecord(second.sealRecord({ ...row, epoch, token, nonce: webRandom(24) }) as SealedRecord, row)).toBe(token)
      }),
      { numRuns: 25 },
    )
  })

  test('key boxes', () => {
    const w = makeWorld()
    const member = keysOf(seed(4))
    fc.assert(
      fc.property(bytes32, fc.nat(), (key, epoch) => {
        const commit = commitMeshKey(w.mesh, epoch, key)
        const box = sealKeybox({ mesh: w.mesh, epoch, key, reader: w.joiner.publicKey, rotator: w.admin, random: webRandom })
        expect(second.openKeybox(box, { mesh: w.mesh, reader: member, commit })).toEqual(key)
        const theirs = second.sealKeybox({ mesh: w.mesh, epoch, key, reader: w.joiner.publicKey, rotator: member, nonce: webRandom(24) })
        expect(openKeybox(theirs as Keybox, { mesh: w.mesh, reader: w.joiner, commit })).toEqual(key)
      }),
      { numRuns: 10 },
    )
  })

  test('rows of state keys', () => {
    fc.assert(
      fc.property(bytes32, fc.string({ unit: 'grapheme' }), (key, name) => {
        expect(stateId(key, name)).toBe(second.stateId(key, name))
      }),
    )
    expect(backHash({ n: 'AA', c: 'AA' })).toBe(second.backHash({ n: 'AA', c: 'AA' }))
  })
})
