import { MeshError } from '@claudemesh/protocol'

const floor = 256

/** Length on the wire of `n` bytes with their prefix: Padmé, at least 256; leaks only the length's rough size. */
export function paddedLength(n: number): number {
  const length = n + 4
  if (length <= floor) return floor
  const exponent = Math.floor(Math.log2(length))
  const free = 2 ** (exponent - (Math.floor(Math.log2(exponent)) + 1))
  return Math.ceil(length / free) * free
}

/** `uint32be(length) ‖ bytes ‖ zeros`. */
export function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(paddedLength(bytes.length))
  new DataView(padded.buffer).setUint32(0, bytes.length)
  padded.set(bytes, 4)
  return padded
}

/** The bytes that were padded. Throws `bad_padding` unless `padded` is exactly what `pad` makes of them. */
export function unpad(padded: Uint8Array): Uint8Array {
  if (padded.length < floor) throw new MeshError('bad_padding', 'the padded message is too short')
  const length = new DataView(padded.buffer, padded.byteOffset).getUint32(0)
  if (paddedLength(length) !== padded.length) throw new MeshError('bad_padding', 'the padded length is not the one for this message')
  if (padded.subarray(4 + length).some((byte) => byte !== 0)) throw new MeshError('bad_padding', 'the padding is not zero')
  return padded.subarray(4, 4 + length)
}
