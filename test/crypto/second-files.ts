// Sealed files a second time, by hand from hchacha20, chacha20 and poly1305.
import { poly1305 } from '@noble/ciphers/_poly1305.js'
import { chacha20, hchacha } from '@noble/ciphers/chacha.js'

const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts))
const words = (bytes: Uint8Array) => new Uint32Array(bytes.slice().buffer)
const sigma = words(new TextEncoder().encode('expand 32-byte k'))

function le64(n: number): Uint8Array {
  const out = Buffer.alloc(8)
  out.writeBigUInt64LE(BigInt(n))
  return out
}

class Stream {
  readonly #key: Uint8Array
  readonly #nonce: Buffer

  constructor(key: Uint8Array, header: Uint8Array) {
    const derived = new Uint32Array(8)
    hchacha(sigma, words(key), words(header.subarray(0, 16)), derived)
    this.#key = new Uint8Array(derived.buffer)
    this.#nonce = Buffer.from(join(Uint8Array.of(1, 0, 0, 0), header.subarray(16)))
  }

  #xor(data: Uint8Array, block: number): Uint8Array {
    return chacha20(this.#key, new Uint8Array(this.#nonce), data, undefined, block)
  }

  #mac(tagBlock: Uint8Array, sealed: Uint8Array, ad: Uint8Array): Uint8Array {
    const parts = [ad, new Uint8Array((16 - ad.length) & 15), tagBlock, sealed]
    // libsodium pads by the length itself where the standard pads up to the next multiple of 16.
    parts.push(new Uint8Array(sealed.length & 15), le64(ad.length), le64(64 + sealed.length))
    return poly1305(join(...parts), this.#xor(new Uint8Array(64), 0).subarray(0, 32))
  }

  #advance(mac: Uint8Array): void {
    for (let i = 0; i < 8; i++) this.#nonce[4 + i] = (this.#nonce[4 + i] ?? 0) ^ (mac[i] ?? 0)
    this.#nonce.writeUInt32LE(this.#nonce.readUInt32LE() + 1)
  }

  push(plain: Uint8Array, tag: number, ad: Uint8Array): Uint8Array {
    const block = this.#xor(join(Uint8Array.of(tag), new Uint8Array(63)), 1)
    const sealed = this.#xor(plain, 2)
    const mac = this.#mac(block, sealed, ad)
    this.#advance(mac)
    return join(block.subarray(0, 1), sealed, mac)
  }

  pull(chunk: Uint8Array, ad: Uint8Array): { plain: Uint8Array; tag: number } {
    const sealed = chunk.subarray(1, -16)
    const opened = this.#xor(join(chunk.subarray(0, 1), new Uint8Array(63)), 1)
    const block = join(chunk.subarray(0, 1), opened.subarray(1))
    const mac = this.#mac(block, sealed, ad)
    if (Buffer.compare(mac, chunk.subarray(-16)) !== 0) throw new Error('file_damaged')
    const plain = this.#xor(sealed, 2)
    this.#advance(mac)
    return { plain, tag: opened[0] ?? 0 }
  }
}

const ascii = (text: string) => new TextEncoder().encode(text)
const chunk = 65_536

export function sealFile(id: string, key: Uint8Array, header: Uint8Array, plain: Uint8Array): Uint8Array {
  const stream = new Stream(key, header)
  const parts = [ascii('CMF1'), header]
  for (let at = 0; at === 0 || at < plain.length; at += chunk)
    parts.push(stream.push(plain.subarray(at, at + chunk), at + chunk >= plain.length ? 3 : 0, ascii(id)))
  return join(...parts)
}

export function openFile(id: string, key: Uint8Array, object: Uint8Array): Uint8Array {
  const stream = new Stream(key, object.subarray(4, 28))
  const parts: Uint8Array[] = []
  for (let at = 28; at < object.length; at += chunk + 17) {
    const { plain, tag } = stream.pull(object.subarray(at, at + chunk + 17), ascii(id))
    if ((tag === 3) !== at + chunk + 17 >= object.length) throw new Error('file_damaged')
    parts.push(plain)
  }
  return join(...parts)
}
