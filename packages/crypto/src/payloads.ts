import { limits, type InvitePubkey, type MemberPubkey, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import { z } from 'zod'

// Canonical: a second spelling of one key would slip past a revocation.
const key32 = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/)
const mesh = z.string().transform((text) => text as MeshId)
const memberPub = key32.transform((text) => text as MemberPubkey)
const invitePub = key32.transform((text) => text as InvitePubkey)
const sessionPub = key32.transform((text) => text as SessionPubkey)
const millis = z.int().nonnegative()
const role = z.enum(['admin', 'member'])
const form = z.enum(['sealed', 'plain'])
const label = z.string()

const member = z.object({ t: z.literal('member'), m: mesh, k: memberPub, via: invitePub.optional(), role, name: label, iat: millis })

const invite = z.object({ t: z.literal('invite'), m: mesh, k: invitePub, role, max: z.int().positive(), iat: millis, exp: millis, by: memberPub.optional() })

const session = z.object({ t: z.literal('session'), m: mesh, k: sessionPub, iat: millis, exp: millis, caps: z.array(z.string()).default([]) })

const presence = z.object({
  t: z.literal('presence'),
  m: mesh,
  k: sessionPub,
  seq: z.int().nonnegative(),
  ts: millis,
  name: label,
  role: label.optional(),
  groups: z.array(z.object({ name: label, role: label.optional() })).max(limits.groupsPerPeer),
  summary: label.optional(),
})

// The value of a deleted key is absent; null is a value.
const state = z
  .object({
    t: z.literal('state'),
    m: mesh,
    k: sessionPub,
    key: z.string().min(1).max(limits.stateKeyChars),
    val: z.unknown().optional(),
    ver: z.int().positive(),
    prev: key32.optional(),
    ts: millis,
    // The name the writer bore: the certificates know only its member's.
    name: label.optional(),
    deleted: z.literal(true).optional(),
  })
  .refine((o) => (o.val === undefined) === (o.deleted === true), 'expected either a value or deleted')

const id = z.string().min(1).max(limits.recordIdChars)
const tags = z.array(label).max(limits.tagsPerRecord)

const memory = z.object({ t: z.literal('memory'), m: mesh, k: sessionPub, id, content: label, tags, ts: millis, forgotten: z.literal(true).optional() })

const file = z.object({
  t: z.literal('file'),
  m: mesh,
  k: sessionPub,
  id,
  name: label,
  size: z.int().nonnegative(),
  mime: label,
  tags,
  key: key32,
  sha256: key32,
  ts: millis,
})

// Exactly what sealBack makes: 24 bytes of nonce, 32 of key and 16 of tag.
const back = z.object({ n: z.string().regex(/^[A-Za-z0-9_-]{32}$/), c: z.string().regex(/^[A-Za-z0-9_-]{64}$/), h: key32.optional() })

const policy = z
  .object({
    t: z.literal('policy'),
    m: mesh,
    v: z.int().positive(),
    prev: key32.optional(),
    iat: millis,
    epoch: z.int().positive().optional(),
    mk: key32.optional(),
    back: back.optional(),
    revoked: z.object({ members: z.array(memberPub), invites: z.array(invitePub), sessions: z.array(sessionPub), kept: z.array(memberPub).default([]) }),
    allow: z.object({ plaintext: z.boolean(), legacyBox: z.boolean(), memory: form, state: form, files: form }),
    brokers: z.array(z.string()),
    cert: z.string().optional(),
  })
  .refine((o) => (o.epoch === undefined) === (o.mk === undefined), 'expected an epoch with its mk')
  .refine((o) => (o.back !== undefined) === (o.epoch ?? 1) > 1, 'expected a way back from every epoch but the first')
  .refine((o) => (o.back?.h !== undefined) === (o.epoch ?? 1) > 2, 'expected the hash of the way back before')

const http = z.object({
  t: z.literal('http'),
  m: mesh,
  k: sessionPub,
  aud: z.string(),
  mth: z.enum(['GET', 'HEAD', 'PUT']),
  path: z.string(),
  size: z.int().nonnegative(),
  ts: millis,
  n: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
})

/** The payload of every kind of token, and whether the certified key counter-signs it. */
export const payloads = { member, invite, session, presence, policy, state, memory, file, http }

export type TokenType = keyof typeof payloads
export type Payload<T extends TokenType> = z.infer<(typeof payloads)[T]>

/** Tokens that certify a key carry that key's own signature too. */
export const provesPossession = (type: TokenType): boolean => type === 'member' || type === 'session'

/** How long a token of this type may be, in characters. */
export const tokenChars = (type: TokenType): number => longer[type] ?? limits.tokenChars

const longer: Partial<Record<TokenType, number>> = {
  state: limits.stateTokenChars,
  memory: limits.memoryTokenChars,
  policy: limits.policyTokenChars,
}
