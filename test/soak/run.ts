import { setTimeout as wait } from 'node:timers/promises'
import { createMesh, type CreatedMesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { systemClock } from '@claudemesh/protocol'
import { Dice } from '../chaos/dice.ts'
import { Service } from '../chaos/service.ts'
import type { Measured, Slot } from '../chaos/slot.ts'
import { Generator } from './generator.ts'
import type { Guest, Tally } from './guest.ts'
import { inMB, lines, loadShown, shown, slopeOf, type Moment } from './report.ts'
import { Rows } from './rows.ts'
import { seat, type Surroundings } from './seat.ts'

export interface SoakOptions {
  readonly seed: number
  readonly minutes: number
  readonly sessions: number
  /** Messages per second of the sessions. */
  readonly rate: number
  /** The share of what the broker takes beside them that is offered as well; 0 for none. */
  readonly load: number
  /** Brokers on one store, behind one address. */
  readonly nodes: number
  readonly folder: string
}

/** What a run came to. */
export interface Soaked {
  /** What remained or went wrong, a sentence each; none when all is well. */
  readonly found: readonly string[]
  /** Durable sends per second that the broker took, measured before the load. */
  readonly capacity: number
  readonly moments: readonly Moment[]
  /** Bytes per minute in the second half. */
  readonly slope: { readonly heap: number; readonly rss: number }
}

const perMesh = 20
/** How long a guest stays at most: so that some twenty come in a second, however many there are. */
const stay = (sessions: number) => Math.max(60_000, sessions * 90)
const sampleEvery = 10_000
/** Runs that are long enough are reported by the minute, have guests that vanish, and are judged by the slope of the memory. */
const long = 5
/** The broker lets go of meshes in which nobody is once a minute; of who vanished after a minute and a half. */
const letGo = { soon: 65_000, late: 160_000 }
/** Connections of the store's pool, opened as they are needed, each with a timer for its end. */
const pool = 8
const MB = 2 ** 20
/** What a load leaves behind: the ids of the newest sends. */
const allowed = { left: 24 * MB, leftByLoad: 24 * MB, perMinute: 1 * MB }

/** Sessions come, write and leave for some minutes; then all leave, and nothing of them may remain. */
export async function soak(options: SoakOptions, say: (line: string) => void): Promise<Soaked> {
  const { minutes, sessions, rate, nodes, folder } = options
  const dice = new Dice(options.seed)
  await using service = await Service.start({ nodes, store: 'postgres', folder, durable: options.load > 0 })
  await using rows = new Rows(service.store)
  const { slots } = service
  const meshes = await made(service.url, Math.ceil(sessions / perMesh))
  const before = await measured(slots)
  say(`before: ${shown(before)}`)

  const tally: Tally = { came: 0, sent: 0, shown: 0, refused: 0 }
  const [start, end] = [Date.now(), Date.now() + minutes * 60_000]
  const around: Surroundings = { end, stay: stay(sessions), vanished: minutes >= long ? [] : undefined, here: new Set(), tally }
  const seats = Array.from({ length: sessions }, (_, i) => seat(service.url, meshes[i % meshes.length] as CreatedMesh, dice.fork(`seat ${i}`), around))
  await using generator = options.load > 0 ? new Generator() : undefined
  const load = { capacity: 0, offered: false }
  const loading = generator && offer(generator, service, around.here, options, { start, load, say })
  const samples: Measured[] = []
  const moments: Moment[] = []
  const sampling = sample(slots, end, async (now) => {
    samples.push(now)
    if (minutes >= long && samples.length % 6 !== 0) return
    const at = Math.round((Date.now() - start) / 1000)
    const counted = load.offered ? await generator?.count() : undefined
    const moment = { at, sessions: around.here.size, guests: { ...tally }, measured: now, stored: await rows.stored(), ...(counted ? { load: counted } : {}) }
    moments.push(moment)
    for (const line of lines(moment)) say(line)
  })
  await write(around.here, rate, end, dice.fork('writer'))
  await Promise.all([...seats, sampling, loading])
  const left = await generator?.leave()
  if (left) say(loadShown(left.counted))

  await wait(around.vanished ? letGo.late : letGo.soon)
  const after = await measured(slots)
  say(`after: ${shown(after)}`)
  const wrong = Object.entries(left?.wrong ?? {}).map(([what, n]) => `${what}, ${n} times`)
  const found = [...wrong, ...(await inconsistent(slots)), ...(await rows.left(around.vanished ?? [])), ...leftOver(before, after, options)]
  if (tally.sent === 0 || tally.shown === 0) found.push('nobody wrote, or nobody read')
  if (left && !moments.some((moment) => (moment.load?.acked ?? 0) > 0)) found.push('no load was taken')
  const slope = slopes(samples)
  say(`in the second half the heap grew by ${inMB(slope.heap)} MB per minute, rss by ${inMB(slope.rss)} MB`)
  if (minutes >= long && slope.heap > nodes * allowed.perMinute) found.push(`the heap grows by ${inMB(slope.heap)} MB per minute`)
  return { found, capacity: load.capacity, moments, slope }
}

async function made(url: string, count: number): Promise<CreatedMesh[]> {
  const meshes: CreatedMesh[] = []
  for (let i = 0; i < count; i++)
    meshes.push(await createMesh({ url, slug: `soak-${i}`, name: 'Founder', clock: systemClock, dial: nodeDial, random: nodeRandom }))
  return meshes
}

async function write(here: ReadonlySet<Guest>, rate: number, end: number, dice: Dice): Promise<void> {
  const tick = 20
  while (Date.now() < end) {
    await wait(tick)
    const [first, ...others] = here
    if (!first) continue
    const guests = [first, ...others] as [Guest, ...Guest[]]
    for (let i = 0; i < (rate * tick) / 1000; i++) void dice.pick(guests).write(dice)
  }
}

interface Loading {
  readonly start: number
  readonly load: { capacity: number; offered: boolean }
  readonly say: (line: string) => void
}

/** Once nearly all guests are there: how much the broker takes, and from then on a share of it. */
async function offer(generator: Generator, service: Service, here: ReadonlySet<Guest>, options: SoakOptions, { start, load, say }: Loading): Promise<void> {
  const { minutes, sessions } = options
  await generator.come(service.slots[0]?.port ?? 0, `ws://127.0.0.1:${service.balancer.port}`)
  while (here.size < sessions * 0.9 && Date.now() < start + minutes * 20_000) await wait(200)
  load.capacity = await generator.measure(Math.min(5, minutes * 6))
  const perSecond = load.capacity * options.load
  say(`with ${here.size} sessions the broker takes ${load.capacity.toFixed(0)} more sends per second; ${perSecond.toFixed(0)} are offered`)
  await generator.offer(perSecond)
  load.offered = true
}

async function sample(slots: readonly Slot[], end: number, take: (measured: Measured) => Promise<void>): Promise<void> {
  while (Date.now() + sampleEvery < end) {
    await wait(sampleEvery)
    await take(await measured(slots))
  }
}

/** What all brokers use together. */
async function measured(slots: readonly Slot[]): Promise<Measured> {
  const all = await Promise.all(slots.map((slot) => slot.measure()))
  const sum = (of: keyof Measured) => all.reduce((total, one) => total + one[of], 0)
  return { rss: sum('rss'), heapUsed: sum('heapUsed'), timers: sum('timers'), sockets: sum('sockets') }
}

async function inconsistent(slots: readonly Slot[]): Promise<string[]> {
  const found = await Promise.all(slots.map((slot) => slot.check()))
  return found.flatMap((sentences, i) => (slots.length === 1 ? sentences : sentences.map((sentence) => `node ${i}: ${sentence}`)))
}

function leftOver(before: Measured, after: Measured, { load, nodes }: SoakOptions): string[] {
  const heap = after.heapUsed - before.heapUsed
  return [
    ...(after.sockets > before.sockets + nodes * pool ? [`${after.sockets - before.sockets} more sockets are open than before`] : []),
    ...(after.timers > before.timers + nodes * pool ? [`${after.timers - before.timers} more timers run than before`] : []),
    ...(heap > nodes * (allowed.left + (load > 0 ? allowed.leftByLoad : 0)) ? [`${inMB(heap)} MB more are in use than before`] : []),
  ]
}

function slopes(samples: readonly Measured[]): Soaked['slope'] {
  const half = samples.slice(samples.length / 2)
  const perMinute = (of: 'heapUsed' | 'rss') => slopeOf(half.map((sample) => sample[of])) * (60_000 / sampleEvery)
  return { heap: perMinute('heapUsed'), rss: perMinute('rss') }
}
