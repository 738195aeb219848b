import type { ClientId, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import { concat, hash, sodium } from './sodium.ts'

/* oxlint-disable no-underscore-dangle -- Emscripten's names. */

/** libsodium without its wrapper, which allocates and copies for every call. */
interface Bare {
  readonly HEAPU8: Uint8Array
  _malloc(size: number): number
  _crypto_generichash(out: number, outLength: number, input: number, inputLow: number, inputHigh: number, key: number, keyLength: number): number
}

const prefix = 'cm1:msgid\0'
const sizes = { sender: 32, id: 16, hash: 16 } as const
const inputSize = prefix.length + sizes.sender + sizes.id

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const values = new Int8Array(256).fill(-1)
for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i
const pairs = Array.from({ length: 4096 }, (_, i) => alphabet.charAt(i >> 6) + alphabet.charAt(i & 63))

let place = 0

/** A message's id, derived from the sender and the sender's own id for it: repeating a send repeats the id. */
// Made for every message that a broker passes on, hence the care: a quarter of the time that the wrapped hash takes.
export function messageIdOf(sender: SessionPubkey, id: ClientId): MessageId {
  const bare = (sodium as unknown as { libsodium: Bare }).libsodium
  if (place === 0) place = placeIn(bare)
  const heap = bare.HEAPU8
  const input = place + sizes.hash
  const read = decode(heap, sender, sizes.sender, input + prefix.length) && decode(heap, id, sizes.id, input + prefix.length + sizes.sender)
  // What is wrong is named on the long way.
  if (!read) return toB64u(hash(sizes.hash, prefix, fromB64u(sender, sizes.sender), fromB64u(id, sizes.id))) as MessageId
  bare._crypto_generichash(place, sizes.hash, input, inputSize, 0, 0, 0)
  let text = ''
  for (let i = place; i < place + 15; i += 3) {
    const bits = (byte(heap, i) << 16) | (byte(heap, i + 1) << 8) | byte(heap, i + 2)
    text += (pairs[bits >> 12] as string) + (pairs[bits & 4095] as string)
  }
  return (text + (pairs[byte(heap, place + 15) << 4] as string)) as MessageId
}

function placeIn(bare: Bare): number {
  const at = bare._malloc(sizes.hash + inputSize)
  bare.HEAPU8.set(concat(prefix), at + sizes.hash)
  return at
}

const byte = (heap: Uint8Array, at: number): number => heap[at] as number
const valueAt = (text: string, i: number): number => values[text.charCodeAt(i)] ?? -1

/** Writes the bytes of base64url to the heap; false, whatever it wrote, when it is not the canonical text of so many. */
function decode(heap: Uint8Array, text: string, length: number, to: number): boolean {
  if (text.length !== Math.ceil((length * 4) / 3)) return false
  let all = 0
  let at = to
  let i = 0
  for (; i + 4 <= text.length; i += 4) {
    const bits = (valueAt(text, i) << 18) | (valueAt(text, i + 1) << 12) | (valueAt(text, i + 2) << 6) | valueAt(text, i + 3)
    all |= bits
    heap[at++] = bits >> 16
    heap[at++] = bits >> 8
    heap[at++] = bits
  }
  // Neither a key nor an id fills its last characters.
  const two = text.length - i === 2
  const bits = two ? (valueAt(text, i) << 6) | valueAt(text, i + 1) : (valueAt(text, i) << 12) | (valueAt(text, i + 1) << 6) | valueAt(text, i + 2)
  const spare = two ? 4 : 2
  if (!two) heap[at++] = bits >> 10
  heap[at] = bits >> spare
  return (all | bits) >= 0 && (bits & ((1 << spare) - 1)) === 0
}
