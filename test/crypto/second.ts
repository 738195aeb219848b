// cm1 a second time, from its description alone, on noble and tweetnacl. Shares no code with packages/crypto, and no library either.
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { blake2b } from '@noble/hashes/blake2.js'
import nacl from 'tweetnacl'

const text = (s: string) => new TextEncoder().encode(s)
const bin = (b64u: string) => new Uint8Array(Buffer.from(b64u, 'base64url'))
export const b64u = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
const join = (...parts: (Uint8Array | string)[]) => new Uint8Array(Buffer.concat(parts.map((p) => (typeof p === 'string' ? text(p) : p))))
export const h = (length: number, ...parts: (Uint8Array | string)[]) => blake2b(join(...parts), { dkLen: length })
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0

function need(condition: boolean, code: string): asserts condition {
  if (!condition) throw new Error(code)
}

export interface Keys {
  seed: Uint8Array
  pub: string
  x25519Public: Uint8Array
  x25519Secret: Uint8Array
}

export function keysOf(seed: Uint8Array): Keys {
  const pub = ed25519.getPublicKey(seed)
  return { seed, pub: b64u(pub), x25519Public: ed25519.utils.toMontgomery(pub), x25519Secret: ed25519.utils.toMontgomerySecret(seed) }
}

export const inviteSeed = (root: string, seed: Uint8Array) => h(32, 'cm1:invite\0', bin(root), seed)

export function meshId(root: string): string {
  const bits = [...h(20, 'cm1:mesh\0', bin(root))].map((b) => b.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{5}/g) ?? []).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)]).join('')
}

export const memberId = (mesh: string, member: string) => b64u(h(16, 'cm1:member\0', mesh, bin(member)))
export const messageId = (sender: string, id: string) => b64u(h(16, 'cm1:msgid\0', bin(sender), bin(id)))
export const sign = (seed: Uint8Array, message: Uint8Array | string) => b64u(ed25519.sign(join(message), seed))
const verify = (pub: string, signature: string, message: Uint8Array) => ed25519.verify(bin(signature), message, bin(pub), { zip215: false })

/** A token over exactly this payload text. */
export function token(type: string, payload: string, issuer: Uint8Array, subject?: Uint8Array): string {
  const signed = join(`cm1:${type}\0`, payload)
  const parts = [b64u(text(payload)), sign(issuer, signed)]
  if (subject) parts.push(sign(subject, join('cm1:pop\0', h(32, signed))))
  return parts.join('.')
}

export function readToken(type: string, made: string, issuer: string): Record<string, unknown> {
  const [payload = '', signature = '', pop] = made.split('.')
  const signed = join(`cm1:${type}\0`, bin(payload))
  need(verify(issuer, signature, signed), 'bad_token')
  const json = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
  need(json['t'] === type, 'bad_token')
  if (type === 'member' || type === 'session') need(pop !== undefined && verify(String(json['k']), pop, join('cm1:pop\0', h(32, signed))), 'bad_token')
  return json
}

export function hello(g: { mesh: string; aud: string; nonce: string; clientNonce: string; timestamp: number }, member: string, session: string): string {
  return `cm1:hello\0${JSON.stringify({ t: 'hello', m: g.mesh, k: session, mk: member, aud: g.aud, n: g.nonce, cn: g.clientNonce, ts: g.timestamp })}`
}

export function padme(length: number): number {
  const l = length + 4
  if (l <= 256) return 256
  const e = 31 - Math.clz32(l)
  const s = 32 - Math.clz32(e)
  const mask = (1 << (e - s)) - 1
  return (l + mask) & ~mask
}

export function pad(json: string): Uint8Array {
  const bytes = text(json)
  const padded = Buffer.alloc(padme(bytes.length))
  padded.writeUInt32BE(bytes.length)
  padded.set(bytes, 4)
  return new Uint8Array(padded)
}

function unpad(padded: Uint8Array): string {
  need(padded.length >= 256, 'bad_padding')
  const json = Buffer.from(padded.subarray(4, 4 + Buffer.from(padded).readUInt32BE()))
  need(equal(pad(json.toString()), padded), 'bad_padding')
  return json.toString()
}

export const pairKey = (me: Keys, peer: string) => nacl.box.before(ed25519.utils.toMontgomery(bin(peer)), me.x25519Secret)
const bodyContext = (mesh: string) => text(`cm1:body\0${mesh}`)

export const sealBox = (me: Keys, peer: string, nonce: Uint8Array, inner: object) => b64u(nacl.box.after(pad(JSON.stringify(inner)), nonce, pairKey(me, peer)))

export function sealShared(me: Keys, mesh: string, contentKey: Uint8Array, nonce: Uint8Array, inner: object, peers: { pub: string; counter: number }[]) {
  const sealed = xchacha20poly1305(h(32, 'cm1:bk\0', contentKey), nonce, bodyContext(mesh)).encrypt(pad(JSON.stringify(inner)))
  const body = join(h(32, 'cm1:kc\0', contentKey), sealed)
  const wraps = peers.map((peer) => {
    const counter = Buffer.alloc(8)
    counter.writeBigUInt64BE(BigInt(peer.counter))
    return b64u(nacl.box.after(join(contentKey, h(32, 'cm1:body\0', nonce, body), counter), nonce, pairKey(me, peer.pub)))
  })
  return { ciphertext: b64u(body), wraps }
}

interface Push {
  id: string
  meshId: string
  senderPubkey: string
  priority: string
  nonce: string
  ciphertext?: string
  wrap?: string
  plain?: string
}

/** Opens a push, or throws an Error whose message is the refusal's name. Replays are the caller's matter. */
export function open(push: Push, o: { me: Keys; mesh: string; sessionEnd: number; now: number }): { inner: Record<string, unknown>; counter: number } {
  need(push.meshId === o.mesh, 'wrong_mesh')
  need(push.plain === undefined, 'plaintext_refused')
  need(/^[\w-]*$/.test(push.ciphertext ?? ''), 'cannot_open')
  const nonce = bin(push.nonce)
  need(nonce.length === 24, 'cannot_open')
  const key = pairKey(o.me, push.senderPubkey)
  const box = nacl.box.open.after(bin(push.wrap ?? push.ciphertext ?? ''), nonce, key)
  need(box !== null, 'cannot_open')
  const { padded, counter } = push.wrap === undefined ? { padded: box } : openBody(box, nonce, bin(push.ciphertext ?? ''), o.mesh)
  const inner = parse(unpad(padded))
  if (push.wrap === undefined) {
    need(inner['r'] === o.me.pub, 'wrong_recipient')
    need(Number.isSafeInteger(inner['c']), 'bad_version')
  }
  need(inner['m'] === o.mesh, 'wrong_mesh')
  need(inner['f'] === push.senderPubkey && inner['p'] === push.priority && inner['id'] === push.id, 'mismatched_envelope')
  const ts = Number(inner['ts'])
  need(Math.abs(o.now - ts) <= 7 * 86_400_000 && ts <= o.sessionEnd + 300_000, 'stale_message')
  return { inner, counter: counter ?? Number(inner['c']) }
}

function openBody(wrap: Uint8Array, nonce: Uint8Array, body: Uint8Array, mesh: string) {
  need(wrap.length === 72, 'cannot_open')
  const contentKey = wrap.subarray(0, 32)
  need(equal(wrap.subarray(32, 64), h(32, 'cm1:body\0', nonce, body)), 'body_swapped')
  need(equal(body.subarray(0, 32), h(32, 'cm1:kc\0', contentKey)), 'body_swapped')
  try {
    const padded = xchacha20poly1305(h(32, 'cm1:bk\0', contentKey), nonce, bodyContext(mesh)).decrypt(body.subarray(32))
    return { padded, counter: Number(Buffer.from(wrap).readBigUInt64BE(64)) }
  } catch {
    throw new Error('cannot_open')
  }
}

function parse(json: string): Record<string, unknown> {
  let inner: Record<string, unknown>
  try {
    inner = JSON.parse(json) as Record<string, unknown>
  } catch {
    throw new Error('bad_version')
  }
  need(inner['v'] === 1 && typeof inner['b'] === 'string' && ['now', 'next', 'low'].includes(String(inner['p'])), 'bad_version')
  return inner
}
