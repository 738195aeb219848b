import type { MeshId } from '@claudemesh/protocol'
import { toB64u } from '../src/base64.ts'
import { issueInvite, issueMember, issuePresence, issueSession } from '../src/issue.ts'
import { inviteKey, memberKey, meshIdOf, rootKey, sessionKey } from '../src/keys.ts'
import { commitMeshKey, sealBack } from '../src/mesh-keys.ts'
import { issuePolicy, type Epoch } from '../src/policy.ts'
import type { Random } from '../src/random.ts'
import { hash } from '../src/sodium.ts'

export const now = 1_767_225_600_000
export const day = 24 * 3_600_000
export const skew = 300_000

export const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** The same bytes each time, as if random: BLAKE2b of a label and a count. */
export function seeded(label: string): Random {
  let count = 0
  return (n) => {
    const bytes = new Uint8Array(n)
    for (let i = 0; i < n; i += 32) bytes.set(hash(32, 'cm1:vectors\0', label, `\0${count++}`).subarray(0, Math.min(32, n - i)), i)
    return bytes
  }
}

export const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
export const nobody = { members: [], invites: [], sessions: [] }

/** The keys of a mesh's epochs. */
export const meshKeyOf = (epoch: number): Uint8Array => seeded(`mesh key ${epoch}`)(32)

/** The first two epochs of a mesh, as its policies name them. */
export function epochsOf(mesh: MeshId): [Epoch, Epoch] {
  const [one, two] = [meshKeyOf(1), meshKeyOf(2)]
  const back = sealBack({ mesh, epoch: 2, key: two, before: one, random: seeded('back 2') })
  return [
    { number: 1, mk: commitMeshKey(mesh, 1, one) },
    { number: 2, mk: commitMeshKey(mesh, 2, two), back },
  ]
}

/** One mesh of a founder, an invited member and three sessions, every key from a label. */
export function makeWorld(label: string) {
  const seeds = {
    root: seeded(`${label} root`)(32),
    admin: seeded(`${label} admin`)(32),
    invite: seeded(`${label} invite`)(16),
    member: seeded(`${label} member`)(32),
    alice: seeded(`${label} alice`)(32),
    bob: seeded(`${label} bob`)(32),
    carol: seeded(`${label} carol`)(32),
  }
  const root = rootKey(seeds.root)
  const mesh = meshIdOf(root.publicKey)
  const admin = memberKey(seeds.admin)
  const invite = inviteKey(root.publicKey, seeds.invite)
  const member = memberKey(seeds.member)
  const [alice, bob, carol] = [sessionKey(seeds.alice), sessionKey(seeds.bob), sessionKey(seeds.carol)]
  const session = (key: typeof alice) => issueSession({ mesh, session: key, member, iat: now })
  const presence = issuePresence({
    mesh,
    session: alice,
    seq: 1,
    ts: now,
    name: 'Alice',
    role: 'dev',
    groups: [{ name: 'frontend', role: 'lead' }, { name: 'reviewers' }],
    summary: 'Implementing the auth UI',
  })
  const adminCert = issueMember({ mesh, subject: admin, issuer: root, role: 'admin', name: 'Founder', iat: now })
  const first = issuePolicy({ mesh, issuer: root, v: 1, iat: now, revoked: nobody, allow, brokers: ['wss://mesh.example.com'] })
  const second = issuePolicy({
    mesh,
    issuer: admin,
    cert: adminCert,
    v: 2,
    prev: first,
    iat: now,
    revoked: { ...nobody, sessions: [carol.publicKey] },
    allow,
    brokers: [],
  })
  const [one, two] = epochsOf(mesh)
  const byRoot = { mesh, issuer: root, iat: now, allow, brokers: [] }
  const third = issuePolicy({ ...byRoot, v: 3, prev: second, revoked: nobody, epoch: one })
  const tokens = {
    admin: adminCert,
    invite: issueInvite({ mesh, invite: invite.publicKey, issuer: admin, role: 'member', max: 1, iat: now, exp: now + day, by: admin.publicKey }),
    member: issueMember({ mesh, subject: member, issuer: invite, role: 'member', name: 'Alice', iat: now, via: invite.publicKey }),
    alice: session(alice),
    bob: session(bob),
    carol: session(carol),
    presence,
    policy1: first,
    policy2: second,
    policy3: third,
    policy4: issuePolicy({ ...byRoot, v: 4, prev: third, revoked: { ...nobody, members: [member.publicKey] }, epoch: two }),
  }
  const greeting = {
    mesh,
    aud: 'wss://mesh.example.com',
    nonce: toB64u(seeded(`${label} nonce`)(32)),
    clientNonce: toB64u(seeded(`${label} client`)(16)),
    timestamp: now,
  }
  return { seeds, mesh, root, admin, invite, member, alice, bob, carol, tokens, greeting }
}
export type World = ReturnType<typeof makeWorld>

/** The certificates that vouch for one of the sessions. */
export const chainOf = (w: World, session: 'alice' | 'bob' | 'carol' = 'alice'): string[] => [
  w.tokens.admin,
  w.tokens.invite,
  w.tokens.member,
  w.tokens[session],
]
