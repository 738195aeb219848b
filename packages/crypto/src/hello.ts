import { MeshError, type MemberPubkey, type MeshId, type RootPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import type { MemberKey, RootKey, SessionKey } from './keys.ts'
import { sign, verifies } from './sodium.ts'

/** What both ends know of a greeting by themselves: the broker's nonce, and its address as it was dialled. */
export interface Greeting {
  mesh: MeshId
  aud: string
  nonce: string
  clientNonce: string
  timestamp: number
}

type Transcript = 'hello' | 'enrol' | 'create'

// Each side builds this from its own values; nothing of it is taken from the other side's frame unsigned.
const transcript = (t: Transcript, o: Greeting, keys: Record<string, string>) =>
  `cm1:${t}\0${JSON.stringify({ t, m: o.mesh, ...keys, aud: o.aud, n: o.nonce, cn: o.clientNonce, ts: o.timestamp })}`

const helloOf = (o: Greeting, member: MemberPubkey, session: SessionPubkey) => transcript('hello', o, { k: session, mk: member })
const enrolOf = (o: Greeting, member: MemberPubkey) => transcript('enrol', o, { mk: member })
const createOf = (o: Greeting, root: RootPubkey) => transcript('create', o, { r: root })

/** Both signatures of a hello: the member's, and the session's proof of possession. */
export function signHello(o: Greeting & { member: MemberKey; session: SessionKey }): { signature: string; proof: string } {
  const text = helloOf(o, o.member.publicKey, o.session.publicKey)
  return { signature: toB64u(sign(o.member.secretKey, text)), proof: toB64u(sign(o.session.secretKey, text)) }
}

/** Checks both signatures of a hello against the verifier's own nonce and address. Throws `unauthorized`. */
export function verifyHello(o: Greeting & { member: MemberPubkey; session: SessionPubkey; signature: string; proof: string }): void {
  const text = helloOf(o, o.member, o.session)
  if (!signed(o.member, o.signature, text)) throw new MeshError('unauthorized')
  if (!signed(o.session, o.proof, text)) throw new MeshError('unauthorized')
}

/** The joiner's proof that it holds the member key of the chain it enrols with. */
export const signEnrol = (o: Greeting & { member: MemberKey }): string => toB64u(sign(o.member.secretKey, enrolOf(o, o.member.publicKey)))

/** Throws `unauthorized` unless the member key signed this enrolment. */
export function verifyEnrol(o: Greeting & { member: MemberPubkey; proof: string }): void {
  if (!signed(o.member, o.proof, enrolOf(o, o.member))) throw new MeshError('unauthorized')
}

/** The founder's proof that it holds the root key of the mesh it brings. */
export const signCreate = (o: Greeting & { root: RootKey }): string => toB64u(sign(o.root.secretKey, createOf(o, o.root.publicKey)))

/** Throws `unauthorized` unless the root key signed this creation. */
export function verifyCreate(o: Greeting & { root: RootPubkey; proof: string }): void {
  if (!signed(o.root, o.proof, createOf(o, o.root))) throw new MeshError('unauthorized')
}

function signed(key: string, signature: string, text: string): boolean {
  try {
    return verifies(fromB64u(key, 32), fromB64u(signature, 64), text)
  } catch {
    return false
  }
}
