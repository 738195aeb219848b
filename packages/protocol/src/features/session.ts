import { z } from 'zod'
import { event, notice, request } from '../define.ts'
import { chain, chainIndexes, exactBytes, millis, policyToken, token } from '../fields.ts'
import { deposit, keybox } from './keys.ts'
import { invitePubkey, memberId, memberPubkey, meshId, presenceId, rootPubkey, sessionPubkey } from '../ids.ts'
import { limits } from '../limits.ts'

const transcript = {
  aud: z.string().max(256).describe('The broker address as the client dialled it: scheme, host and port.'),
  clientNonce: exactBytes(16),
  timestamp: millis,
}

export const session = {
  challenge: event('challenge', {
    doc: 'The broker’s first frame on every connection. The nonce serves this connection alone.',
    body: { v: z.literal(1), nonce: exactBytes(32), time: millis },
  }),
  hello: request('hello', {
    doc: 'Proves member and session key to the broker and registers the presence. The newest valid hello of a session key wins.',
    phase: 'greeting',
    input: {
      v: z.literal(1),
      meshId,
      memberId,
      pubkey: memberPubkey,
      sessionPubkey,
      sessionId: z.string().max(64),
      displayName: z.string().max(limits.nameChars),
      groups: z.array(z.object({ name: z.string().max(limits.nameChars), role: z.string().max(limits.roleChars).optional() })).max(limits.groupsPerPeer),
      ...transcript,
      chain,
      presence: token,
      mail: z.boolean().optional().describe('This session shows mail for its member: mail that no other session holds is pushed to it.'),
      inOrder: z
        .boolean()
        .optional()
        .describe(
          'This client sends again, in their order, the stored messages that are refused for now; until the first of them comes, those behind it are refused too.',
        ),
      signature: exactBytes(64),
      proof: exactBytes(64),
    },
    reply: 'hello_ack',
    output: {
      presenceId,
      memberDisplayName: z.string(),
      policy: policyToken,
      queued: z.int().describe('Messages waiting in the durable queue; they follow as pushes.'),
    },
  }),
  enrol: request('enrol', {
    doc: 'Makes the bearer of an invite a member: the joiner signed its own member certificate with the invite’s key.',
    phase: 'greeting',
    input: {
      v: z.literal(1),
      meshId,
      chain,
      ...transcript,
      proof: exactBytes(64),
      keybox: deposit
        .optional()
        .describe('The mesh key for the new member, from the box that came with the invite. policy_conflict when it is no longer the present one.'),
    },
    reply: 'enrolled',
    output: { memberId, policy: policyToken },
  }),
  createMesh: request('create_mesh', {
    doc: 'Brings a new mesh to this broker: its root key, the founder’s admin certificate and the first policy.',
    phase: 'greeting',
    input: {
      v: z.literal(1),
      root: rootPubkey,
      slug: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'expected a slug: a-z, 0-9 and -'),
      chain,
      policy: policyToken,
      ...transcript,
      proof: exactBytes(64),
      keybox: deposit.optional().describe('The first mesh key for the founder; required with a policy that has an epoch.'),
    },
    reply: 'mesh_created',
    output: { meshId, memberId },
  }),
  getPolicy: request('get_policy', {
    doc: 'The mesh’s signed policy as the broker knows it.',
    input: {},
    reply: 'policy',
    output: { policy: policyToken },
  }),
  setPolicy: request('set_policy', {
    doc: 'Replaces the policy by its successor, once: policy_conflict when another came first, or when a member or open invite has no key box of an epoch that it begins. What it revokes is disconnected.',
    input: { policy: policyToken },
  }),
  policyChanged: event('policy_changed', {
    doc: 'An admin changed the signed policy.',
    body: { policy: policyToken },
  }),
  createInvite: request('create_invite', {
    doc: 'Deposits an invite certificate, so that a joiner can fetch it and its uses are counted.',
    input: {
      chain,
      keybox: deposit.optional().describe('The mesh key for whoever holds the invite, so that it can read with nobody online. policy_conflict as in enrol.'),
    },
  }),
  listInvites: request('list_invites', {
    doc: 'The mesh’s invites with their uses.',
    input: {},
    reply: 'invites',
    output: { invites: z.array(z.object({ invitePubkey, chain, used: z.int(), createdAt: millis })) },
  }),
  listMembers: request('list_members', {
    doc: 'The members of the mesh in pages, also those whom the policy revokes. Tokens that several chains share are listed once.',
    input: { cursor: memberId.optional() },
    reply: 'members',
    output: {
      members: z.array(z.object({ chain: chainIndexes, createdAt: millis })),
      tokens: z.array(token),
      next: memberId.optional(),
    },
  }),
  bye: notice('bye', {
    doc: 'This session ends and its key is destroyed: what is queued for it fails at once, named recipient_gone. Mail it held waits for the member’s next session.',
    body: {},
  }),
}

/** What `GET /v1/invite/<key>` answers: the certificates up to the invite, where it leads, and the boxes of the present mesh key for whoever holds it. */
export const inviteDeposit = z.object({ chain, slug: z.string(), policy: policyToken, keyboxes: z.array(keybox).default([]) })
