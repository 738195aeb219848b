import { MeshError, times, type ClientId, type MeshId, type Priority, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { fromB64u } from './base64.ts'
import { bodyHash, keyCommitment, openBody, wrappedCounter, wrapPlainBytes } from './body.ts'
import type { Chain } from './chain-types.ts'
import { decodeInner, type Inner, type InnerMessage } from './inner.ts'
import { unpad } from './padding.ts'
import type { PairKeys } from './pair-keys.ts'
import type { ReplayWindows } from './replay-windows.ts'
import { same, sodium } from './sodium.ts'

/** The fields of a push that opening looks at. */
export interface Envelope {
  readonly id: ClientId
  readonly meshId: MeshId
  readonly senderPubkey: SessionPubkey
  readonly priority: Priority
  readonly nonce: string
  readonly ciphertext?: string | undefined
  readonly wrap?: string | undefined
  readonly plain?: string | undefined
}

export interface OpenOptions {
  keys: PairKeys
  me: RecipientPubkey
  mesh: MeshId
  /** The sender's chain, verified to its session. */
  sender: Chain
  now: number
  /** Told of the counter of a message that passed every other check; throws `replayed`. Mail is known by its id instead, since it is opened by one session after another. */
  windows: Pick<ReplayWindows, 'accept'>
  /** From the signed, pinned policy. */
  allow?: { readonly plaintext: boolean } | undefined
}

/** A message that passed every check. `verified` is false for plaintext alone: then nothing but the text is known, not even the sender. */
export interface Opened {
  readonly verified: boolean
  readonly inner: InnerMessage
  /** The sender's number for it; -1 for plaintext. */
  readonly counter: number
}

/** Opens an envelope and marks its counter as received. Throws a refusal by name; nothing of a refused envelope may be shown. */
export function open(push: Envelope, o: OpenOptions): Opened {
  if (push.meshId !== o.mesh) throw new MeshError('wrong_mesh')
  // The form follows from which field is there, never from what happens to open.
  if (push.plain !== undefined) return openPlain(push, push.plain, o)
  const { session } = o.sender
  if (session?.key !== push.senderPubkey) throw new MeshError('unknown_sender')
  const { padded, counter: wrapped } = push.wrap === undefined ? openBox(push, o) : openShared(push, push.wrap, o)
  const inner = decodeInner(unpad(padded))
  const counter = wrapped ?? boxedCounter(inner, o.me)
  checkBinding(inner, push)
  checkAge(inner.ts, o.now, session.exp)
  o.windows.accept(push.senderPubkey, counter)
  const { to, id, ts, p, b, re, hops, k, a, pv } = inner
  const optional = { ...(re !== undefined && { re }), ...(hops !== undefined && { hops }), ...(k !== undefined && { k }), ...(a && { a }), ...(pv && { pv }) }
  return { verified: true, inner: { to, id, ts, p, b, ...optional }, counter }
}

function openPlain(push: Envelope, text: string, o: OpenOptions): Opened {
  if (!o.allow?.plaintext) throw new MeshError('plaintext_refused')
  if (push.ciphertext !== undefined || push.wrap !== undefined) throw new MeshError('plaintext_refused', 'the envelope has both a sealed and a plain text')
  return { verified: false, inner: { to: '', id: push.id, ts: o.now, p: push.priority, b: text }, counter: -1 }
}

interface Unsealed {
  readonly padded: Uint8Array
  readonly counter?: number
}

function openBox(push: Envelope, o: OpenOptions): Unsealed {
  return { padded: cannotOpenUnless(() => unbox(push.ciphertext, push, o)) }
}

function openShared(push: Envelope, wrap: string, o: OpenOptions): Unsealed {
  const plain = cannotOpenUnless(() => unbox(wrap, push, o))
  if (plain.length !== wrapPlainBytes) throw new MeshError('cannot_open', 'the wrap has the wrong length')
  const contentKey = plain.subarray(0, 32)
  const nonce = fromB64u(push.nonce, 24)
  const body = cannotOpenUnless(() => fromB64u(push.ciphertext ?? ''))
  if (!same(plain.subarray(32, 64), bodyHash(nonce, body))) throw new MeshError('body_swapped')
  if (!same(keyCommitment(contentKey), body.subarray(0, 32))) throw new MeshError('body_swapped', 'the body commits to another key')
  const padded = cannotOpenUnless(() => openBody(contentKey, nonce, o.mesh, body))
  const counter = wrappedCounter(plain)
  if (counter === undefined) throw new MeshError('replayed', 'the counter is out of range')
  contentKey.fill(0)
  return { padded, counter }
}

const unbox = (boxed: string | undefined, push: Envelope, o: OpenOptions) =>
  sodium.crypto_box_open_easy_afternm(fromB64u(boxed ?? ''), fromB64u(push.nonce, 24), o.keys.with(push.senderPubkey).shared)

function boxedCounter(inner: Inner, me: RecipientPubkey): number {
  if (inner.r !== me) throw new MeshError('wrong_recipient')
  if (inner.c === undefined) throw new MeshError('bad_version', 'the sealed message has no counter')
  return inner.c
}

function checkBinding(inner: Inner, push: Envelope): void {
  if (inner.m !== push.meshId) throw new MeshError('wrong_mesh', 'the message was sealed for another mesh')
  if (inner.f !== push.senderPubkey) throw new MeshError('mismatched_envelope', 'the message was sealed by another sender')
  if (inner.p !== push.priority) throw new MeshError('mismatched_envelope', 'the envelope claims another priority than the message')
  if (inner.id !== push.id) throw new MeshError('mismatched_envelope', 'the envelope claims another id than the message')
}

function checkAge(ts: number, now: number, sessionEnd: number): void {
  if (Math.abs(now - ts) > times.messageLife) throw new MeshError('stale_message')
  if (ts > sessionEnd + times.skew) throw new MeshError('stale_message', 'the message is dated after its sender’s certificate ended')
}

function cannotOpenUnless<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new MeshError('cannot_open', undefined, { cause })
  }
}
