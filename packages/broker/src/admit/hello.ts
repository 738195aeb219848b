import { and, eq, sql } from 'drizzle-orm'
import { verifyHello, verifyPresence } from '@claudemesh/crypto'
import { foldName, MeshError, parseGroup, type contract, type Input, type Output, type PresenceId } from '@claudemesh/protocol'
import { announce } from '../announce.ts'
import { verifyIn } from '../chains.ts'
import { Feed } from '../feed.ts'
import type { Greeting, Kernel } from '../kernel.ts'
import { abandoned } from '../lifecycle.ts'
import type { Mesh } from '../mesh.ts'
import { queueOf } from '../queues.ts'
import type { NodeId } from '../parcels.ts'
import { refresh } from '../policy.ts'
import { Presence } from '../presence.ts'
import type { Session } from '../session.ts'
import * as tables from '../tables.ts'
import { checkTranscript } from './greeting.ts'
import { takeOver } from './take-over.ts'

type Hello = Input<typeof contract.session.hello>

/** Admits a session: both proofs, the enrolled chain, and the signed presence must hold. Throws the named refusal. */
export async function hello(greeting: Greeting, input: Hello): Promise<Output<typeof contract.session.hello>> {
  const { kernel } = greeting
  checkTranscript(greeting, input)
  const mesh = await kernel.meshes.get(kernel, input.meshId)
  if (!mesh) throw new MeshError('unauthorized')
  mesh.greeting++
  try {
    return await admit(greeting, mesh, input)
  } finally {
    mesh.greeting--
  }
}

async function admit({ kernel, session, nonce }: Greeting, mesh: Mesh, input: Hello): Promise<Output<typeof contract.session.hello>> {
  await refresh(kernel, mesh)
  const [member] = await kernel.db
    .select()
    .from(tables.member)
    .where(and(eq(tables.member.meshId, mesh.id), eq(tables.member.id, input.memberId), eq(tables.member.pubkey, input.pubkey)))
  if (!member) throw new MeshError('unauthorized')
  const { aud, clientNonce, timestamp, signature, proof } = input
  verifyHello({ mesh: mesh.id, member: input.pubkey, session: input.sessionPubkey, aud, nonce, clientNonce, timestamp, signature, proof })
  const { policy } = mesh
  const chain = checkChain(kernel, mesh, member.chain, input)
  const signed = checkPresence(mesh, input)
  using _ = mesh.groupRoom.claim(signed.groups)
  const key = input.sessionPubkey
  const [before] = await kernel.db
    .select({ seq: tables.presence.seq, node: tables.presence.node, disconnectedAt: tables.presence.disconnectedAt })
    .from(tables.presence)
    .where(and(eq(tables.presence.meshId, mesh.id), eq(tables.presence.sessionPubkey, key)))
  if (before && signed.seq < before.seq) throw new MeshError('bad_presence', `its seq ${signed.seq} is below the last one, ${before.seq}`)
  takeOver(kernel, mesh, session, key)
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url') as PresenceId
  const now = kernel.clock.now()
  const row = {
    meshId: mesh.id,
    sessionPubkey: key,
    id,
    memberId: member.id,
    memberPubkey: member.pubkey,
    memberName: member.name,
    chain: kernel.chains.share(input.chain),
    presence: input.presence,
    seq: signed.seq,
    groups: [...signed.groups],
    status: mesh.presences.get(key)?.status ?? ('idle' as const),
    live: true,
    disconnectedAt: null,
    expiresAt: chain.session.exp,
    connectedAt: now,
    node: kernel.nodes.id,
  }
  const [stored] = await kernel.db
    .insert(tables.presence)
    .values(row)
    .onConflictDoUpdate({ target: [tables.presence.meshId, tables.presence.sessionPubkey], set: { ...row, epoch: sql`${tables.presence.epoch} + 1` } })
    .returning({ epoch: tables.presence.epoch })
  const counted = mesh.presences.has(key) && kernel.nodes.alone
  const queued = counted ? undefined : await queueOf(kernel.db, mesh.id, key)
  const unsure = before !== undefined && leftInDoubt(kernel, before)
  if (unsure) mesh.doubt()
  const me = register(kernel, mesh, session, {
    policy,
    row: { ...row, epoch: stored?.epoch ?? 0 },
    queued,
    showsMail: input.mail === true,
    inOrder: input.inOrder === true,
  })
  announce(mesh, me, unsure)
  return { presenceId: id, memberDisplayName: member.name, policy: mesh.policy.token, queued: me.queued.count }
}

/** Whether its last node may have taken messages that it did not hand on any more: then the queue goes before what this session sends next. */
function leftInDoubt({ nodes }: Kernel, before: { readonly node: NodeId | null; readonly disconnectedAt: number | null }): boolean {
  return nodes.bus !== undefined && before.node !== nodes.id && (before.disconnectedAt === null || !nodes.up)
}

interface Admitted {
  /** Under which its certificates were verified. */
  readonly policy: Mesh['policy']
  readonly row: typeof tables.presence.$inferSelect
  readonly queued: Presence['queued'] | undefined
  readonly showsMail: boolean
  readonly inOrder: boolean
}

/** From here to the answer nothing waits: the connection, its presence and the peers' view of it change in one step. */
function register(kernel: Kernel, mesh: Mesh, session: Session, { policy, row, queued, showsMail, inOrder }: Admitted): Presence {
  try {
    if (!session.greeting) throw new MeshError('closed')
    if (mesh.policy !== policy) verifyIn(kernel, mesh, 'session', row.chain)
  } catch (error) {
    abandoned(kernel, mesh, row)
    throw error
  }
  takeOver(kernel, mesh, session, row.sessionPubkey)
  // While the row was written, the session may have come to another node.
  if ((mesh.presences.get(row.sessionPubkey)?.epoch ?? 0) > row.epoch) throw new MeshError('replaced')
  const signed = { token: row.presence, seq: row.seq, groups: row.groups }
  const me = mesh.presences.get(row.sessionPubkey) ?? new Presence({ ...row, key: row.sessionPubkey, signed })
  if (queued) me.queued = queued
  me.cancelLinger()
  mesh.unindex(me)
  me.id = row.id
  me.epoch = row.epoch
  me.elsewhere = undefined
  me.silent = undefined
  me.chain = row.chain
  me.expiresAt = row.expiresAt
  me.signed = signed
  me.link = { session, feed: new Feed(kernel, mesh, me.key, session.outbox, showsMail ? me.memberPubkey : undefined) }
  me.showsMail = showsMail
  session.welcome({ kernel, session, mesh, me }, inOrder)
  mesh.put(me)
  return me
}

function checkChain(kernel: Kernel, mesh: Mesh, enrolled: readonly string[], input: Hello) {
  const chain = verifyIn(kernel, mesh, 'session', input.chain)
  const upToMember = input.chain.slice(0, -1)
  if (upToMember.length !== enrolled.length || upToMember.some((token, i) => token !== enrolled[i]))
    throw bad('these are not the certificates it enrolled with')
  if (chain.member.key !== input.pubkey || chain.session.key !== input.sessionPubkey) throw bad('the certificates are of other keys than the hello')
  return chain
}

function checkPresence(mesh: Mesh, input: Hello) {
  const signed = verifyPresence(input.presence, { mesh: mesh.id, session: input.sessionPubkey })
  if (foldName(signed.name) !== foldName(input.displayName)) throw new MeshError('bad_presence', 'the presence carries another name than the hello')
  const told = input.groups.map((group) => ({ name: parseGroup(group.name), role: group.role ?? '' }))
  const same =
    told.length === signed.groups.length && told.every((t) => signed.groups.some((g) => g.name === t.name && (g.role ?? '') === t.role.normalize('NFC').trim()))
  if (!same) throw new MeshError('bad_presence', 'the presence carries other groups than the hello')
  return signed
}

const bad = (why: string) => new MeshError('bad_chain', why)
