// `node test/bench/crypto.ts`, or `pnpm bench crypto`: the cost of cm1, warm, in one thread.
import { performance } from 'node:perf_hooks'
import {
  issueMember,
  issueSession,
  memberKey,
  meshIdOf,
  open,
  PairKeys,
  ready,
  ReplayWindows,
  rootKey,
  seal,
  SendCounters,
  sessionKey,
  signHello,
  toB64u,
  TokenCache,
  verifyChain,
  verifyHello,
  webRandom,
  type SessionKey,
} from '@claudemesh/crypto'
import type { ClientId } from '@claudemesh/protocol'
import { printRows, type Row } from './table.ts'

const text = 'x'.repeat(1024)

/** Seals, opens and verifies; µs per operation, each the best of a hundred rounds. */
export async function cryptoBench(): Promise<Row[]> {
  await ready()
  const world = makeWorld(1000)
  return [
    row('seal 1 KiB to 1', sealCost(world, 1, 2000), 50),
    row('seal 1 KiB to 100', sealCost(world, 100, 200), 500),
    row('seal 1 KiB to 1000', sealCost(world, 1000, 30), 5000),
    row('open 1 KiB, box', openCost(world, false), 50),
    row('open 1 KiB, shared body', openCost(world, true), 50),
    row('verify a hello', helloCost(world)),
    row('verify a chain to a session', chainCost(world)),
    row('verify a chain to a session, cached', chainCost(world, new TokenCache())),
    row('first contact with a peer', contactCost(world)),
  ]
}

interface World {
  now: number
  alice: SessionKey
  bob: SessionKey
  others: SessionKey[]
  mesh: ReturnType<typeof meshIdOf>
  root: ReturnType<typeof rootKey>
  member: ReturnType<typeof memberKey>
  tokens: string[]
  keys: PairKeys
}

function makeWorld(peers: number): World {
  const now = 1_700_000_000_000
  const root = rootKey(webRandom(32))
  const mesh = meshIdOf(root.publicKey)
  const member = memberKey(webRandom(32))
  const alice = sessionKey(webRandom(32))
  const others = Array.from({ length: peers }, () => sessionKey(webRandom(32)))
  const tokens = [
    issueMember({ mesh, subject: member, issuer: root, role: 'admin', name: 'Alice', iat: now }),
    issueSession({ mesh, session: alice, member, iat: now }),
  ]
  const keys = new PairKeys(alice)
  for (const other of others) keys.with(other.publicKey)
  return { now, alice, bob: others[0] as SessionKey, others, mesh, root, member, tokens, keys }
}

function sealOnce(w: World, count: number, shared = false, counters = new SendCounters()) {
  const message = { to: '*', id: toB64u(webRandom(16)) as ClientId, ts: w.now, p: 'next' as const, b: text }
  const recipients = w.others.slice(0, count).map((key) => key.publicKey)
  return { message, sealed: seal({ keys: w.keys, counters, mesh: w.mesh, sender: w.alice.publicKey, recipients, message, random: webRandom, shared }) }
}

function sealCost(w: World, recipients: number, times: number): number {
  const counters = new SendCounters()
  return best(times, () => sealOnce(w, recipients, false, counters))
}

function openCost(w: World, shared: boolean): number {
  const sender = verifyChain(w.tokens, { mesh: w.mesh, root: w.root.publicKey, now: w.now, ends: 'session' })
  const keys = new PairKeys(w.bob)
  keys.with(w.alice.publicKey)
  const { message, sealed } = sealOnce(w, 1, shared)
  const push = {
    id: message.id,
    meshId: w.mesh,
    senderPubkey: w.alice.publicKey,
    priority: message.p,
    nonce: sealed.nonce,
    ciphertext: sealed.ciphertext,
    wrap: sealed.wraps,
  }
  return best(2000, () => open(push, { keys, me: w.bob.publicKey, mesh: w.mesh, sender, now: w.now, windows: new ReplayWindows() }))
}

function helloCost(w: World): number {
  const greeting = { mesh: w.mesh, aud: 'ws://127.0.0.1:7717', nonce: toB64u(webRandom(32)), clientNonce: toB64u(webRandom(16)), timestamp: w.now }
  const signatures = signHello({ ...greeting, member: w.member, session: w.alice })
  return best(200, () => verifyHello({ ...greeting, member: w.member.publicKey, session: w.alice.publicKey, ...signatures }))
}

const chainCost = (w: World, cache?: TokenCache) =>
  best(200, () => verifyChain(w.tokens, { mesh: w.mesh, root: w.root.publicKey, now: w.now, ends: 'session', cache }))

function contactCost(w: World): number {
  return best(200, () => {
    w.keys.forget(w.bob.publicKey)
    w.keys.with(w.bob.publicKey)
  })
}

// Many short rounds: the best of them had the core to itself.
function best(times: number, work: () => void): number {
  const perRound = Math.max(1, Math.ceil(times / 20))
  const rounds = Array.from({ length: 100 }, () => {
    const start = performance.now()
    for (let i = 0; i < perRound; i++) work()
    return ((performance.now() - start) * 1000) / perRound
  })
  return Math.min(...rounds)
}

function row(metric: string, value: number, goal?: number): Row {
  return { bench: 'crypto', metric, value, unit: 'µs', ...(goal === undefined ? {} : { goal: `≤ ${goal} µs`, met: value <= goal }) }
}

if (import.meta.main) printRows(await cryptoBench(), process.argv.includes('--json'))
