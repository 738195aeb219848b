// What the key of a mesh's epoch opens, for whom, and what a broker or a rogue member cannot pass off as it.
import {
  backHash,
  commitMeshKey,
  fromB64u,
  inviteKey,
  newMeshKey,
  openBack,
  openKeybox,
  ready,
  sealBack,
  sealKeybox,
  toB64u,
  webRandom,
  type Back,
  type Keybox,
} from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const key = seed(40)
const boxFor = (o: Partial<Parameters<typeof sealKeybox>[0]> = {}) =>
  sealKeybox({ mesh: w.mesh, epoch: 3, key, reader: w.joiner.publicKey, rotator: w.admin, random: webRandom, ...o })
const commit = () => commitMeshKey(w.mesh, 3, key)
const open = (box: Keybox, o: Partial<Parameters<typeof openKeybox>[1]> = {}) => openKeybox(box, { mesh: w.mesh, reader: w.joiner, commit: commit(), ...o })
const flipped = (text: string) => {
  const bytes = fromB64u(text)
  bytes[0]! ^= 1
  return toB64u(bytes)
}

test('a new mesh key is 32 random bytes', () => {
  expect(newMeshKey(webRandom)).toHaveLength(32)
  expect(newMeshKey(webRandom)).not.toEqual(newMeshKey(webRandom))
  expect(() => newMeshKey(() => new Uint8Array(31))).toThrow('31 bytes for 32')
})

test('a commitment is of one mesh, one epoch and one key', () => {
  const others = [commitMeshKey(w.mesh, 3, seed(41)), commitMeshKey(w.mesh, 33, key), commitMeshKey(makeWorld(50).mesh, 3, key)]
  expect(commit()).toBe(commitMeshKey(w.mesh, 3, seed(40)))
  expect(others).not.toContain(commit())
})

describe('a key box', () => {
  test('opens for the member, and for whoever holds the invite', () => {
    expect(open(boxFor())).toEqual(key)
    expect(open(boxFor({ reader: w.invite.publicKey, rotator: w.root }), { reader: inviteKey(w.root.publicKey, seed(3, 16)) })).toEqual(key)
  })

  test('may come from any member: what counts is the commitment', () => expect(open(boxFor({ rotator: w.joiner }))).toEqual(key))

  test('is not made for a key that is none', () => refuses('bad_keybox', /no usable key/, () => boxFor({ reader: toB64u(seed(0)) as never })))

  test('leaves the key it was made of alone', () => expect(key).toEqual(seed(40)))

  test.each([
    ['opened by another member', () => open(boxFor(), { reader: w.admin }), /does not open/],
    ['changed', () => open({ ...boxFor(), c: flipped(boxFor().c) }), /does not open/],
    ['with a short nonce', () => open({ ...boxFor(), n: 'AAAA' }), /does not open/],
    ['by a rotator whose key is none', () => open({ ...boxFor(), by: toB64u(seed(0)) as never }), /does not open/],
    ['made for another mesh', () => open(boxFor({ mesh: makeWorld(50).mesh })), /another mesh, epoch or reader/],
    ['made for another epoch', () => open({ ...boxFor(), e: 4 }), /another mesh, epoch or reader/],
    ['of a rogue member with a key of its own', () => open(boxFor({ key: seed(41), rotator: w.joiner })), /signed policy/],
    ['of an earlier epoch', () => open(boxFor({ epoch: 2 })), /signed policy/],
  ])('%s is refused', (_what, act, says) => refuses('bad_keybox', says, act))

  test('passed on to somebody else is refused, although it opens for both ends', () => {
    // The pair key is the same in both directions, so the rotator can open the box it made: only the binding names the reader.
    refuses('bad_keybox', /another mesh, epoch or reader/, () => open({ ...boxFor(), by: w.joiner.publicKey }, { reader: w.admin }))
  })
})

describe('the way back', () => {
  const keys = [1, 2, 3, 4, 5].map((n) => seed(60 + n))
  const chainOf = (): Back[] => {
    const backs: Back[] = []
    for (let epoch = 2; epoch <= 5; epoch++) {
      const [before, mine] = [keys[epoch - 2] as Uint8Array, keys[epoch - 1] as Uint8Array]
      backs.push(sealBack({ mesh: w.mesh, epoch, key: mine, before, earlier: backs.at(-1), random: webRandom }))
    }
    return backs
  }

  test('leads from the fifth epoch to the first, each step named by the one after it', () => {
    const backs = chainOf()
    let at = keys[4] as Uint8Array
    for (let epoch = 5; epoch >= 2; epoch--) {
      const back = backs[epoch - 2] as Back
      expect(back.h).toBe(epoch === 2 ? undefined : backHash(backs[epoch - 3] as Back))
      at = openBack(back, { mesh: w.mesh, epoch, key: at })
      expect(at).toEqual(keys[epoch - 2])
    }
  })

  test('does not lead forward, nor to another mesh', () => {
    const back = chainOf()[3] as Back
    refuses('cannot_open', /./, () => openBack(back, { mesh: w.mesh, epoch: 5, key: keys[3] as Uint8Array }))
    refuses('cannot_open', /./, () => openBack(back, { mesh: w.mesh, epoch: 4, key: keys[4] as Uint8Array }))
    refuses('cannot_open', /./, () => openBack(back, { mesh: makeWorld(50).mesh, epoch: 5, key: keys[4] as Uint8Array }))
  })

  test('its hash covers every part', () => {
    const back: Back = { n: 'AAAA', c: 'BBBB', h: 'CCCC' }
    const hashes = [back, { ...back, n: 'AAAB' }, { ...back, c: 'BBBC' }, { ...back, h: 'CCCD' }, { n: 'AAAA', c: 'BBBB' }].map(backHash)
    expect(new Set(hashes).size).toBe(5)
  })
})
