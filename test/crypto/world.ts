import {
  inviteKey,
  issueInvite,
  issueMember,
  issueSession,
  memberKey,
  meshIdOf,
  open,
  PairKeys,
  ReplayWindows,
  rootKey,
  seal,
  SendCounters,
  sessionKey,
  toB64u,
  verifyChain,
  webRandom,
  type ChainTo,
  type Envelope,
  type OpenOptions,
  type Sealed,
  type SealOptions,
  type SessionKey,
} from '@claudemesh/crypto'
import { MeshError, type ClientId, type ErrorCode } from '@claudemesh/protocol'
import { expect } from 'vitest'

export const now = 1_767_225_600_000
export const hour = 3_600_000
export const day = 24 * hour

/** `length` equal bytes: a seed that tells its key apart and nothing more. */
export const seed = (n: number, length = 32) => new Uint8Array(length).fill(n)

/** Expects a MeshError of this code whose message matches. */
export function refuses(code: ErrorCode, says: RegExp, act: () => unknown): void {
  let outcome: unknown = 'it was accepted'
  try {
    act()
  } catch (error) {
    outcome = error
  }
  expect(outcome).toBeInstanceOf(MeshError)
  expect(outcome).toMatchObject({ code, message: expect.stringMatching(says) })
}

/** The member, invite and session of one mesh, and all its tokens. Call it after ready(). */
export function makeWorld(n = 1) {
  const root = rootKey(seed(n))
  const mesh = meshIdOf(root.publicKey)
  const admin = memberKey(seed(n + 1))
  const invite = inviteKey(root.publicKey, seed(n + 2, 16))
  const joiner = memberKey(seed(n + 3))
  const alice = sessionKey(seed(n + 4))
  const bob = sessionKey(seed(n + 5))
  const carol = sessionKey(seed(n + 6))
  const adminCert = issueMember({ mesh, subject: admin, issuer: root, role: 'admin', name: 'Founder', iat: now })
  const inviteCert = issueInvite({ mesh, invite: invite.publicKey, issuer: admin, role: 'member', max: 1, iat: now, exp: now + day, by: admin.publicKey })
  const memberCert = issueMember({ mesh, subject: joiner, issuer: invite, role: 'member', name: 'Alice', iat: now, via: invite.publicKey })
  const sessionOf = (session: SessionKey, member = joiner) => issueSession({ mesh, session, member, iat: now })
  const trust = { mesh, root: root.publicKey, now }
  const chains = new Map<string, ChainTo<'session'>>()
  const chainOf = (session: SessionKey) => {
    const chain = chains.get(session.publicKey) ?? verifyChain([adminCert, inviteCert, memberCert, sessionOf(session)], { ...trust, ends: 'session' })
    chains.set(session.publicKey, chain)
    return chain
  }
  return { root, mesh, admin, invite, joiner, alice, bob, carol, adminCert, inviteCert, memberCert, sessionCert: sessionOf(alice), sessionOf, trust, chainOf }
}
export type World = ReturnType<typeof makeWorld>

export const message = { to: 'Bob', id: toB64u(seed(7, 16)) as ClientId, ts: now, p: 'next' as const, b: 'the deploy is frozen' }

/** Seals `message` from Alice to Bob, unless told otherwise. */
export const sealFrom = (w: World, o: Partial<SealOptions> = {}): Sealed =>
  seal({
    keys: new PairKeys(w.alice),
    counters: new SendCounters(),
    mesh: w.mesh,
    sender: w.alice.publicKey,
    recipients: [w.bob.publicKey],
    message,
    random: webRandom,
    ...o,
  })

/** The push that an honest broker makes of an envelope for its `i`-th recipient. */
export const pushOf = (w: World, sealed: Pick<Sealed, 'nonce' | 'ciphertext' | 'wraps'>, i = 0): Envelope => ({
  id: message.id,
  meshId: w.mesh,
  senderPubkey: w.alice.publicKey,
  priority: message.p,
  nonce: sealed.nonce,
  ciphertext: sealed.ciphertext,
  wrap: sealed.wraps === undefined ? undefined : wrapAt(sealed.wraps, i),
})

export const wrapAt = (wraps: string, i: number) => toB64u(Buffer.from(wraps, 'base64url').subarray(i * 88, i * 88 + 88))

/** Opens as Bob, who knows Alice's chain, unless told otherwise. */
export const openAs = (w: World, push: Envelope, o: Partial<OpenOptions> & { as?: SessionKey } = {}) => {
  const me = o.as ?? w.bob
  return open(push, { keys: new PairKeys(me), me: me.publicKey, mesh: w.mesh, sender: w.chainOf(w.alice), now, windows: new ReplayWindows(), ...o })
}
