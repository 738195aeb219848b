import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createMesh, Mesh, type CreatedMesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { sessionKey } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import { Line } from '../harness/line.ts'
import { audience, violations } from './checker.ts'
import { ChaosClient } from './client.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { joinAll } from './joiners.ts'
import type { Evidence } from './log.ts'
import { patiently } from './patience.ts'
import { plan } from './plan.ts'
import { Service, type ServiceOptions } from './service.ts'

export interface RunOptions extends ServiceOptions {
  readonly seed: number
  readonly seconds: number
}

export interface Outcome {
  readonly violations: readonly string[]
  readonly summary: string
}

const names = ['Ann', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn'] as const
const groupsOf = (i: number) => [i % 2 === 0 ? 'even' : 'odd', ...(i < 4 ? ['core'] : [])]
const targets = [...names, ...names, '@even', '@odd', '@core', '*'] as const
const people = { max: 4, count: 9 }
/** How long everything may take to come to rest after the last fault. */
const settling = 45_000

/** One run: clients at work while things break in the order that the seed decides; then rest, and judgement by the clients' logs. */
export async function run(options: RunOptions): Promise<Outcome> {
  const dice = new Dice(options.seed)
  await using stack = new AsyncDisposableStack()
  mkdirSync(options.folder, { recursive: true })
  const service = stack.use(await Service.start(options))
  const founder = await createMesh({ url: service.url, slug: 'chaos', name: 'Founder', clock: systemClock, dial: nodeDial, random: nodeRandom })
  const invite = await asFounder(service.url, founder, (mesh) => mesh.invites.create({ max: people.max }))
  let acked = 0
  const faults = new Faults(
    service,
    () => acked,
    (line) => appendFileSync(join(options.folder, 'faults.log'), `${new Date().toISOString()} ${line}\n`),
  )
  const clients: ChaosClient[] = []
  for (const [i, name] of names.entries()) {
    const line = stack.use(await Line.to(service.balancer.port))
    const client = {
      url: service.url,
      identity: founder,
      name,
      groups: groupsOf(i),
      targets: [...targets] as [string, ...string[]],
      line,
      dice: dice.fork(name),
    }
    clients.push(new ChaosClient({ ...client, acked: () => acked++ }))
  }
  await everybodyKnown(clients)

  const joining = joinAll(invite.link, people.count, dice.fork('joiners'), options.seconds * 800)
  for (const client of clients) client.work(2)
  await faults.follow(
    plan(dice.fork('plan'), { nodes: options.nodes, clients: names.length, postgres: options.store === 'postgres' }),
    clients,
    options.seconds * 1000,
  )
  await faults.healed()
  const joined = await joining
  await Promise.all(clients.map((client) => client.rest()))

  await until(() => allSeen(clients))
  const quiet = await until(async () => (await inconsistent(service)).length === 0)
  await Promise.all(clients.map((client) => client.conclude()))
  const invites = await asFounder(service.url, founder, (mesh) => patiently(() => mesh.invites.list()))
  const evidence: Evidence = { logs: clients, invite: { max: people.max, joined, used: invites.find(({ key }) => key === invite.key)?.used ?? -1 } }
  const found = violations(evidence)
  if (!quiet) found.push(...(await inconsistent(service)))
  writeFileSync(join(options.folder, 'evidence.json'), JSON.stringify(evidence.logs.map(({ name, groups, entries }) => ({ name, groups, entries }))))
  await Promise.all(clients.map((client) => client.close()))
  return { violations: found, summary: summary(evidence, faults, service) }
}

/** Runs work of the founder's, in a session that says goodbye before anybody writes to it. */
async function asFounder<T>(url: string, identity: CreatedMesh, work: (mesh: Mesh) => Promise<T>): Promise<T> {
  const session = { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'founder' }
  const mesh = await Mesh.connect({ url, identity, session, name: 'Founder', clock: systemClock, dial: nodeDial, random: nodeRandom, persist: true })
  try {
    return await work(mesh)
  } finally {
    await mesh.close({ bye: true })
  }
}

async function everybodyKnown(clients: readonly ChaosClient[]): Promise<void> {
  const meshes = await Promise.all(clients.map((client) => client.mesh))
  const known = () => meshes.every((mesh) => names.every((name) => name === mesh.me.name || mesh.peers().some((peer) => peer.name === name)))
  // The session that made the invite has said goodbye.
  const alone = () => meshes.every((mesh) => mesh.peers().length === names.length - 1)
  if (!(await until(() => known() && alone()))) throw new Error('the clients do not find each other')
}

/** Whether every acknowledged message was seen by everybody it was for. */
function allSeen(clients: readonly ChaosClient[]): boolean {
  const seen = new Map(clients.map(({ name, entries }) => [name, new Set(entries.flatMap((e) => (e.did === 'surfaced' ? [`${e.from} ${e.n}`] : [])))]))
  return clients.every(({ name, entries }) => {
    const sent = new Map(entries.flatMap((e) => (e.did === 'send' ? [[e.n, e.to] as const] : [])))
    return entries.every((e) => e.did !== 'acked' || audience(clients, name, sent.get(e.n) ?? '').every((to) => seen.get(to)?.has(`${name} ${e.n}`)))
  })
}

async function inconsistent({ slots }: Service): Promise<string[]> {
  return (await Promise.all(slots.map(async (slot, i) => (await slot.check()).map((found) => `node ${i}: ${found}`)))).flat()
}

async function until(met: () => boolean | Promise<boolean>): Promise<boolean> {
  const end = Date.now() + settling
  while (!(await met())) {
    if (Date.now() > end) return false
    await wait(200)
  }
  return true
}

function summary({ logs, invite }: Evidence, { counts }: Faults, { slots }: Service): string {
  const crashes = slots.reduce((sum, slot) => sum + slot.crashes, 0)
  const entries = logs.flatMap((log) => log.entries)
  const count = (did: string) => entries.filter((entry) => entry.did === did).length
  const codes = Map.groupBy(
    entries.flatMap((entry) => (entry.did === 'unacked' ? [entry.code] : [])),
    (code) => code,
  )
  const failures = [...codes].map(([code, all]) => `${all.length} ${code}`).join(', ')
  return [
    `${count('send')} messages sent, ${count('acked')} acknowledged${failures === '' ? '' : ` (${failures})`}, ${count('surfaced')} times shown`,
    `${count('wrote')} writes acknowledged, ${count('saw')} values seen; ${invite.joined} of ${people.count} joined with an invite for ${invite.max}`,
    `faults: ${[...counts].map(([kind, n]) => `${n} ${kind}`).join(', ')}; brokers that ended by themselves: ${crashes}`,
  ].join('\n')
}
