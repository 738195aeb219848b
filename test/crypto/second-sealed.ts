// Mesh keys, key boxes and records a second time, from their description alone, on noble and tweetnacl.
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { blake2b } from '@noble/hashes/blake2.js'
import nacl from 'tweetnacl'
import { b64u, h, pad, pairKey, type Keys } from './second.ts'

const text = (s: string) => new TextEncoder().encode(s)
const bin = (s: string) => new Uint8Array(Buffer.from(s, 'base64url'))
const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts))
const block = (bytes: Uint8Array) => join(bytes, new Uint8Array(16 - bytes.length))

function need(condition: unknown, code: string): asserts condition {
  if (!condition) throw new Error(code)
}

const numbers = { state: 1, stateIndex: 2, memory: 3, file: 5, back: 6 }

/** libsodium's key derivation: BLAKE2b of nothing, with the number as salt and the context as person. */
export const subkey = (key: Uint8Array, purpose: keyof typeof numbers) =>
  blake2b(new Uint8Array(0), { dkLen: 32, key, salt: block(Uint8Array.of(numbers[purpose])), personalization: block(text('cm1mesh\0')) })

export const commit = (mesh: string, epoch: number, key: Uint8Array) => b64u(h(32, `cm1:mk\0${mesh}\0${epoch}\0`, key))

interface Box {
  n: string
  c: string
}

function sealAead(key: Uint8Array, context: string, nonce: Uint8Array, plain: Uint8Array): Box {
  return { n: b64u(nonce), c: b64u(xchacha20poly1305(key, nonce, text(context)).encrypt(plain)) }
}

function openAead(key: Uint8Array, context: string, { n, c }: Box): Uint8Array {
  try {
    return xchacha20poly1305(key, bin(n), text(context)).decrypt(bin(c))
  } catch {
    throw new Error('cannot_open')
  }
}

const backContext = (mesh: string, epoch: number) => `cm1:back\0${mesh}\0${epoch}`

export const sealBack = (mesh: string, epoch: number, key: Uint8Array, before: Uint8Array, nonce: Uint8Array) =>
  sealAead(subkey(key, 'back'), backContext(mesh, epoch), nonce, before)
export const openBack = (box: Box, mesh: string, epoch: number, key: Uint8Array) => openAead(subkey(key, 'back'), backContext(mesh, epoch), box)
export const backHash = (box: Box & { h?: string }) => b64u(h(32, 'cm1:backhash\0', bin(box.n), bin(box.c), bin(box.h ?? '')))

export const binding = (mesh: string, epoch: number, reader: string) => h(16, `cm1:kb\0${mesh}\0${epoch}\0`, bin(reader))

export function sealKeybox(o: { mesh: string; epoch: number; key: Uint8Array; reader: string; rotator: Keys; nonce: Uint8Array }) {
  const plain = join(o.key, binding(o.mesh, o.epoch, o.reader))
  return { e: o.epoch, n: b64u(o.nonce), c: b64u(nacl.box.after(plain, o.nonce, pairKey(o.rotator, o.reader))), by: o.rotator.pub }
}

export function openKeybox(box: Box & { e: number; by: string }, o: { mesh: string; reader: Keys; commit: string }): Uint8Array {
  const plain = bin(box.by).length === 32 && nacl.box.open.after(bin(box.c), bin(box.n), pairKey(o.reader, box.by))
  need(plain, 'bad_keybox')
  need(Buffer.compare(plain.subarray(32), binding(o.mesh, box.e, o.reader.pub)) === 0, 'bad_keybox')
  const key = plain.subarray(0, 32)
  need(commit(o.mesh, box.e, key) === o.commit, 'bad_keybox')
  return key
}

type Purpose = 'state' | 'memory' | 'file'
const recordContext = (purpose: string, mesh: string, epoch: number, id: string) => `cm1:${purpose}\0${mesh}\0${epoch}\0${id}`

export function sealRecord(o: { mesh: string; purpose: Purpose; epoch: number; key: Uint8Array; id: string; token: string; nonce: Uint8Array }) {
  return { e: o.epoch, ...sealAead(subkey(o.key, o.purpose), recordContext(o.purpose, o.mesh, o.epoch, o.id), o.nonce, pad(o.token)) }
}

export function openRecord(record: Box & { e: number }, o: { mesh: string; purpose: Purpose; id: string; key: Uint8Array }): string {
  const padded = Buffer.from(openAead(subkey(o.key, o.purpose), recordContext(o.purpose, o.mesh, record.e, o.id), record))
  need(padded.length >= 256, 'bad_padding')
  const bytes = padded.subarray(4, 4 + padded.readUInt32BE())
  const token = bytes.toString()
  need(Buffer.compare(Buffer.from(token), bytes) === 0, 'cannot_open')
  need(Buffer.compare(pad(token), padded) === 0, 'bad_padding')
  return token
}

export const stateId = (first: Uint8Array, key: string) => b64u(blake2b(text(key.normalize('NFC')), { dkLen: 16, key: subkey(first, 'stateIndex') }))
