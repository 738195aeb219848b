import { MeshError, type InvitePubkey, type MemberPubkey, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import type { InviteKey, MemberKey, RootKey } from './keys.ts'
import { commitMeshKey, type MeshKey } from './mesh-keys.ts'
import { take, type Random } from './random.ts'
import { concat, hash, same, sodium } from './sodium.ts'

/** A mesh key boxed for one reader: epoch, nonce, ciphertext, and whose key boxed it. */
export interface Keybox {
  readonly e: number
  readonly n: string
  readonly c: string
  readonly by: RootPubkey | MemberPubkey
}

const keyBytes = 32

/** Ties a key to mesh, epoch and reader: `BLAKE2b-16("cm1:kb\0" ‖ mesh ‖ "\0" ‖ epoch in decimal ‖ "\0" ‖ reader)`. */
const binding = (mesh: MeshId, epoch: number, reader: string) => hash(16, `cm1:kb\0${mesh}\0${epoch}\0`, fromB64u(reader, 32))

/** Boxes the key of an epoch for a member, or for whoever holds an invite. Throws `bad_keybox` for a reader whose key is no curve point of full order. */
export function sealKeybox(o: {
  mesh: MeshId
  epoch: number
  key: MeshKey
  reader: MemberPubkey | InvitePubkey
  rotator: MemberKey | RootKey
  random: Random
}): Keybox {
  const nonce = take(o.random, 24)
  const plain = concat(o.key, binding(o.mesh, o.epoch, o.reader))
  const sealed = sodium.crypto_box_easy(plain, nonce, readerOf(o.reader), secretOf(o.rotator))
  plain.fill(0)
  return { e: o.epoch, n: toB64u(nonce), c: toB64u(sealed), by: o.rotator.publicKey }
}

/** The key in a box, checked against what the policy commits to: whoever boxed it, it is the mesh's. Throws `bad_keybox`. */
export function openKeybox(box: Keybox, o: { mesh: MeshId; reader: MemberKey | InviteKey; commit: string }): MeshKey {
  const plain = unbox(box, o.reader)
  if (!same(plain.subarray(keyBytes), binding(o.mesh, box.e, o.reader.publicKey))) throw bad('it was made for another mesh, epoch or reader')
  const key = plain.slice(0, keyBytes)
  plain.fill(0)
  if (commitMeshKey(o.mesh, box.e, key) !== o.commit) throw bad('its key is not the one that the signed policy names')
  return key
}

function unbox(box: Keybox, reader: MemberKey | InviteKey): Uint8Array {
  try {
    return sodium.crypto_box_open_easy(fromB64u(box.c), fromB64u(box.n, 24), publicOf(box.by), secretOf(reader))
  } catch (cause) {
    throw new MeshError('bad_keybox', 'the key box does not open', { cause })
  }
}

function readerOf(key: string): Uint8Array {
  try {
    return publicOf(key)
  } catch (cause) {
    throw new MeshError('bad_keybox', `the reader ${key} has no usable key`, { cause })
  }
}

const publicOf = (key: string) => sodium.crypto_sign_ed25519_pk_to_curve25519(fromB64u(key, 32))
const secretOf = (key: MemberKey | InviteKey | RootKey) => sodium.crypto_sign_ed25519_sk_to_curve25519(key.secretKey)

const bad = (why: string) => new MeshError('bad_keybox', `the key box is refused: ${why}`)
