import type { MeshId } from '@claudemesh/protocol'
import { openAead, sealAead, type AeadBox } from './aead.ts'
import { fromB64u, toB64u } from './base64.ts'
import { take, type Random } from './random.ts'
import { concat, hash, sodium } from './sodium.ts'

/** 32 bytes that every member of the mesh knows for one epoch, and nobody else. */
export type MeshKey = Uint8Array

/** The mesh key before this one, sealed under it; signed as a part of the policy. */
export interface Back extends AeadBox {
  /** Hash of the `Back` of the epoch before, where that has one: so the whole chain hangs on the newest policy. */
  readonly h?: string | undefined
}

const subkeys = { state: 1, stateIndex: 2, memory: 3, memoryIndex: 4, file: 5, back: 6 } as const

/** The key that a mesh key gives for one purpose alone. */
export const subkey = (key: MeshKey, purpose: keyof typeof subkeys): Uint8Array => sodium.crypto_kdf_derive_from_key(32, subkeys[purpose], 'cm1mesh\0', key)

/** A fresh mesh key. */
export const newMeshKey = (random: Random): MeshKey => take(random, 32)

/** What the policy says of an epoch's key, so that nobody can hand out another: `H32("cm1:mk\0" ‖ mesh ‖ "\0" ‖ epoch in decimal ‖ "\0" ‖ key)`. */
export const commitMeshKey = (mesh: MeshId, epoch: number, key: MeshKey): string => toB64u(hash(32, `cm1:mk\0${mesh}\0${epoch}\0`, key))

const backContext = (mesh: MeshId, epoch: number) => `cm1:back\0${mesh}\0${epoch}`

/** Seals the key of epoch − 1 under the key of this epoch. `earlier` is the `Back` that epoch − 1 has itself. */
export function sealBack(o: { mesh: MeshId; epoch: number; key: MeshKey; before: MeshKey; earlier?: Back | undefined; random: Random }): Back {
  const box = sealAead(subkey(o.key, 'back'), backContext(o.mesh, o.epoch), o.before, o.random)
  return { ...box, ...(o.earlier && { h: backHash(o.earlier) }) }
}

/** The key of epoch − 1. `back` must come from a verified policy, or match the `h` of the one after it. Throws `cannot_open`. */
export const openBack = (back: Back, o: { mesh: MeshId; epoch: number; key: MeshKey }): MeshKey =>
  openAead(subkey(o.key, 'back'), backContext(o.mesh, o.epoch), back)

/** What the next epoch's `Back` says of this one: `H32("cm1:backhash\0" ‖ n ‖ c ‖ h)`, `h` where it has one. */
export const backHash = ({ n, c, h }: Back): string => toB64u(hash(32, 'cm1:backhash\0', concat(fromB64u(n), fromB64u(c), fromB64u(h ?? ''))))
