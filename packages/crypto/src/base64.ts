import { MeshError } from '@claudemesh/protocol'

interface Codec {
  encode(bytes: Uint8Array): string
  decode(text: string): Uint8Array
}

interface NodeBuffer {
  from(data: ArrayBufferLike, offset: number, length: number): { toString(encoding: 'base64url'): string }
  from(text: string, encoding: 'base64url'): Uint8Array
}

/** Works on any web platform; slower than Node's own. */
export const portable: Codec = {
  encode(bytes) {
    let binary = ''
    for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192))
    return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
  },
  decode(text) {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
  },
}

const buffer = (globalThis as { Buffer?: NodeBuffer }).Buffer

/** Node’s own, where there is one. */
export const buffered: Codec | undefined = buffer && {
  encode: (bytes) => buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url'),
  // A copy, because small Buffers share one pool with everything else.
  decode: (text) => new Uint8Array(buffer.from(text, 'base64url')),
}

const codec = buffered ?? portable

/** Base64url without padding. */
export const toB64u = (bytes: Uint8Array): string => codec.encode(bytes)

/** The bytes of canonical base64url, exactly `length` of them where given. Throws `bad_encoding`. */
export function fromB64u(text: string, length?: number): Uint8Array {
  if (!isCanonical(text)) throw new MeshError('bad_encoding', 'expected canonical base64url')
  const bytes = codec.decode(text)
  if (length !== undefined && bytes.length !== length) throw new MeshError('bad_encoding', `expected ${length} bytes in base64url, got ${bytes.length}`)
  return bytes
}

const alphabet = /^[A-Za-z0-9_-]*$/

// The one text that encodes these bytes: the bits of the last character that carry no data are zero.
function isCanonical(text: string): boolean {
  if (!alphabet.test(text)) return false
  switch (text.length % 4) {
    case 1:
      return false
    case 2:
      return 'AQgw'.includes(text.charAt(text.length - 1))
    case 3:
      return 'AEIMQUYcgkosw048'.includes(text.charAt(text.length - 1))
    default:
      return true
  }
}
