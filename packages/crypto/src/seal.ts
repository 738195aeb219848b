import { limits, MeshError, type MeshId, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { toB64u } from './base64.ts'
import { bodyHash, sealBody, wrapBytes, wrapPlain } from './body.ts'
import type { SendCounters } from './counters.ts'
import { encodeInner, type InnerMessage } from './inner.ts'
import { pad } from './padding.ts'
import type { Pair, PairKeys } from './pair-keys.ts'
import { take, type Random } from './random.ts'
import { sodium } from './sodium.ts'

/** Recipient keys (32 bytes each) and, for a shared body, their wraps (88 bytes each), in base64url. */
export interface Addressed {
  readonly to: string
  readonly wraps: string
}

/** An envelope ready to send. Resending means sending the identical bytes. */
export interface Sealed {
  readonly nonce: string
  readonly to: string
  /** Absent when the ciphertext itself is boxed for the only recipient. */
  readonly wraps?: string
  readonly ciphertext: string
  /** Wraps for recipients that were not among the first. Throws `top_up_closed` after `wipe` and for a box, `bad_recipients` for one already wrapped for. */
  topUp(recipients: readonly RecipientPubkey[]): Addressed
  /** Destroys the content key: no more top-ups. */
  wipe(): void
}

export interface SealOptions {
  keys: PairKeys
  counters: SendCounters
  mesh: MeshId
  sender: SessionPubkey
  recipients: readonly RecipientPubkey[]
  message: InnerMessage
  random: Random
  /** Wrap even for a single recipient, because more may be added. */
  shared?: boolean | undefined
}

const keyBytes = 32

/** Seals a message for these sessions, and as mail for members, alone. Throws `no_recipients`, `too_many_recipients`, `bad_recipients` or `too_large`. */
export function seal(o: SealOptions): Sealed {
  const [only] = o.recipients
  if (only === undefined) throw new MeshError('no_recipients')
  return o.recipients.length === 1 && !o.shared ? sealBox(o, only) : sealShared(o)
}

function sealBox(o: SealOptions, recipient: RecipientPubkey): Sealed {
  checkRecipients([recipient], o.sender)
  const { shared } = o.keys.with(recipient)
  const nonce = take(o.random, 24)
  const inner = { ...o.message, m: o.mesh, f: o.sender, r: recipient, c: o.counters.peek(recipient) }
  const ciphertext = sodium.crypto_box_easy_afternm(pad(encodeInner(inner)), nonce, shared)
  checkSize(ciphertext.length)
  // Used up only now: a failed seal must not leave a gap.
  o.counters.next(recipient)
  return { nonce: toB64u(nonce), to: recipient, ciphertext: toB64u(ciphertext), topUp: refuseTopUp, wipe: () => {} }
}

function sealShared(o: SealOptions): Sealed {
  const contentKey = take(o.random, 32)
  const nonce = take(o.random, 24)
  const body = sealBody(contentKey, nonce, o.mesh, pad(encodeInner({ ...o.message, m: o.mesh, f: o.sender })))
  checkSize(body.length)
  const wrapper = new Wrapper(o, contentKey, nonce, bodyHash(nonce, body))
  return {
    nonce: toB64u(nonce),
    ...wrapper.wrap(o.recipients),
    ciphertext: toB64u(body),
    topUp: (recipients) => wrapper.wrap(recipients),
    wipe: () => wrapper.wipe(),
  }
}

/** Makes the wraps of one body, each recipient's once: a second one would use a nonce twice. */
class Wrapper {
  readonly #o: SealOptions
  readonly #nonce: Uint8Array
  readonly #bodyHash: Uint8Array
  readonly #wrapped = new Set<RecipientPubkey>()
  #contentKey: Uint8Array | undefined

  constructor(o: SealOptions, contentKey: Uint8Array, nonce: Uint8Array, hashOfBody: Uint8Array) {
    this.#o = o
    this.#contentKey = contentKey
    this.#nonce = nonce
    this.#bodyHash = hashOfBody
  }

  wrap(recipients: readonly RecipientPubkey[]): Addressed {
    const contentKey = this.#contentKey
    if (!contentKey) throw new MeshError('top_up_closed')
    checkRecipients(recipients, this.#o.sender)
    if (recipients.some((recipient) => this.#wrapped.has(recipient))) throw new MeshError('bad_recipients', 'a recipient is already among the first')
    const pairs = recipients.map((recipient) => this.#o.keys.with(recipient))
    const to = new Uint8Array(recipients.length * keyBytes)
    const wraps = new Uint8Array(recipients.length * wrapBytes)
    recipients.forEach((recipient, i) => {
      const { bytes, shared } = pairs[i] as Pair
      const plain = wrapPlain(contentKey, this.#bodyHash, this.#o.counters.next(recipient))
      this.#wrapped.add(recipient)
      to.set(bytes, i * keyBytes)
      wraps.set(sodium.crypto_box_easy_afternm(plain, this.#nonce, shared), i * wrapBytes)
    })
    return { to: toB64u(to), wraps: toB64u(wraps) }
  }

  wipe(): void {
    this.#contentKey?.fill(0)
    this.#contentKey = undefined
  }
}

function refuseTopUp(): never {
  throw new MeshError('top_up_closed', 'this message was sealed for one recipient alone')
}

function checkRecipients(recipients: readonly RecipientPubkey[], sender: SessionPubkey): void {
  if (recipients.length > limits.recipients) throw new MeshError('too_many_recipients')
  if (new Set(recipients).size !== recipients.length) throw new MeshError('bad_recipients', 'a recipient is named twice')
  if (recipients.includes(sender)) throw new MeshError('bad_recipients', 'the sender is among the recipients')
}

function checkSize(bytes: number): void {
  if (bytes > limits.message * 1.2 + 4096) throw new MeshError('too_large', 'the message is too large once encoded; send it in parts')
}
