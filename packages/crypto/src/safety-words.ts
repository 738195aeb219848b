import type { MemberPubkey, RootPubkey } from '@claudemesh/protocol'
import { fromB64u } from './base64.ts'
import { hash } from './sodium.ts'
import { wordlist } from './wordlist.ts'

const words = 8
const bitsPerWord = 11

/** Eight words for two people to compare by voice: the same for all who mean the same mesh. */
export const meshWords = (root: RootPubkey): string[] => wordsOf(hash(32, 'cm1:words\0mesh\0', fromB64u(root, 32)))

/** Eight words for two members to compare by voice: the same for both when each has the other's true key, and both the same mesh. */
export function pairWords(root: RootPubkey, one: MemberPubkey, other: MemberPubkey): string[] {
  const keys = [root, one, other].map((key) => fromB64u(key, 32)).toSorted(byBytes)
  return wordsOf(hash(32, 'cm1:words\0pair\0', ...keys))
}

/** The first 88 bits, most significant first, as words. */
function wordsOf(digest: Uint8Array): string[] {
  const bits = Array.from(digest, (byte) => byte.toString(2).padStart(8, '0')).join('')
  return Array.from({ length: words }, (_, i) => wordlist[Number.parseInt(bits.slice(i * bitsPerWord, (i + 1) * bitsPerWord), 2)] ?? '')
}

function byBytes(a: Uint8Array, b: Uint8Array): number {
  const i = a.findIndex((byte, at) => byte !== b[at])
  return i < 0 ? 0 : (a[i] ?? 0) - (b[i] ?? 0)
}
