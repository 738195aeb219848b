import {
  attachment,
  limits,
  MeshError,
  type Attachment,
  type ClientId,
  type MeshId,
  type Priority,
  type RecipientPubkey,
  type SessionPubkey,
} from '@claudemesh/protocol'
import { z } from 'zod'
import { decodeText, encodeText } from './sodium.ts'

/** What a sender says, as the recipient gets it after opening. */
export interface InnerMessage {
  /** The target as the sender wrote it. */
  readonly to: string
  readonly id: ClientId
  readonly ts: number
  readonly p: Priority
  readonly b: string
  /** Id of the message that this one answers. */
  readonly re?: string | undefined
  /** How many answers led here. */
  readonly hops?: number | undefined
  /** What it is when it is no message for a reader: `receipt` tells the sender what was shown. */
  readonly k?: string | undefined
  /** The files attached. */
  readonly a?: readonly Attachment[] | undefined
  /** The sender's policy: version and beginning of its hash. */
  readonly pv?: readonly [number, string] | undefined
}

/** The sealed message, with what binds it to mesh, sender and, alone in its box, to recipient and counter. */
export interface Inner extends InnerMessage {
  readonly m: MeshId
  readonly f: SessionPubkey
  readonly r?: RecipientPubkey | undefined
  readonly c?: number | undefined
}

const id = z.string().regex(/^[A-Za-z0-9_-]{22}$/)
const counter = z.int().nonnegative()

const form = z.object({
  v: z.literal(1),
  m: z.string(),
  f: z.string(),
  to: z.string(),
  id,
  ts: counter,
  p: z.enum(['now', 'next', 'low']),
  b: z.string(),
  re: z.string().max(64).optional(),
  hops: counter.optional(),
  k: z.string().max(16).optional(),
  a: z.array(attachment).min(1).max(limits.filesPerMessage).optional(),
  pv: z.tuple([counter, z.string().max(43)]).optional(),
  r: z.string().optional(),
  c: counter.optional(),
})

/** The message as it is sealed. Throws `too_large` for a text over 64 KiB. */
export function encodeInner(o: Inner): Uint8Array {
  if (encodeText(o.b).length > limits.message) throw new MeshError('too_large', `the message is over ${limits.message} bytes; send it in parts`)
  const { m, f, to, id, ts, p, b, re, hops, k, a, pv, r, c } = o
  return encodeText(JSON.stringify({ v: 1, m, f, to, id, ts, p, b, re, hops, k, a, pv, r, c }))
}

/** Reads what `encodeInner` wrote. Throws `bad_version` for anything that is not a message of version 1. */
export function decodeInner(bytes: Uint8Array): Inner {
  let json: unknown
  try {
    json = JSON.parse(decodeText(bytes))
  } catch {
    throw new MeshError('bad_version', 'the sealed message is not JSON')
  }
  const result = form.safeParse(json)
  if (!result.success) throw new MeshError('bad_version', `the sealed message is not of version 1: ${result.error.issues[0]?.path.join('.') ?? ''}`)
  return result.data as unknown as Inner
}
