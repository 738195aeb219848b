import { setTimeout as wait } from 'node:timers/promises'
import { createMesh, type CreatedMesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { systemClock, type SessionPubkey } from '@claudemesh/protocol'
import postgres from 'postgres'
import { Dice } from '../chaos/dice.ts'
import { Service } from '../chaos/service.ts'
import type { Measured, Slot } from '../chaos/slot.ts'
import { Guest, type Tally } from './guest.ts'

export interface SoakOptions {
  readonly seed: number
  readonly minutes: number
  readonly sessions: number
  /** Messages per second. */
  readonly rate: number
  readonly folder: string
}

const perMesh = 20
/** How long a guest stays at most: all come from one address, which may greet fifty times a second. */
const stay = (sessions: number) => Math.max(60_000, sessions * 90)
const sampleEvery = 10_000
/** Runs that are long enough also have guests that vanish, and are judged by the slope of the memory. */
const long = 5
/** The broker lets go of meshes in which nobody is once a minute; of who vanished after a minute and a half. */
const letGo = { soon: 65_000, late: 160_000 }
/** Connections of the store's pool, opened as they are needed, each with a timer for its end. */
const pool = 8
const MB = 2 ** 20
const allowed = { left: 24 * MB, perMinute: 1 * MB }

/** Sessions come, write and leave for some minutes; then all leave, and nothing of them may remain. The sentences say what does. */
export async function soak(options: SoakOptions, say: (line: string) => void): Promise<string[]> {
  const { minutes, sessions, rate, folder } = options
  const dice = new Dice(options.seed)
  await using service = await Service.start({ nodes: 1, store: 'postgres', folder })
  const slot = service.slots[0] as Slot
  const meshes = await made(service.url, Math.ceil(sessions / perMesh))
  const before = await slot.measure()
  say(`before: ${shown(before)}`)

  const tally: Tally = { came: 0, sent: 0, shown: 0, refused: 0 }
  const end = Date.now() + minutes * 60_000
  const vanished: SessionPubkey[] | undefined = minutes >= long ? [] : undefined
  const here = new Set<Guest>()
  const seats = Array.from({ length: sessions }, (_, i) =>
    seat(service.url, meshes[i % meshes.length] as CreatedMesh, dice.fork(`seat ${i}`), { end, stay: stay(sessions), vanished, here, tally }),
  )
  const samples: Measured[] = []
  const sampling = sample(slot, end, (measured) => {
    samples.push(measured)
    say(`${here.size} sessions, ${tally.came} came, ${tally.sent} sent, ${tally.shown} shown, ${tally.refused} refused; ${shown(measured)}`)
  })
  await write(here, rate, end, dice.fork('writer'))
  await Promise.all([...seats, sampling])

  await wait(vanished ? letGo.late : letGo.soon)
  const after = await slot.measure()
  say(`after: ${shown(after)}`)
  const found = [...(await slot.check()), ...(await rowsLeft(service.store, vanished ?? [])), ...leftOver(before, after)]
  if (tally.sent === 0 || tally.shown === 0) found.push('nobody wrote, or nobody read')
  const slope = slopeOf(samples.slice(samples.length / 2).map(({ heapUsed }) => heapUsed)) * (60_000 / sampleEvery)
  say(`the heap grew by ${(slope / MB).toFixed(2)} MB per minute in the second half`)
  if (vanished && slope > allowed.perMinute) found.push(`the heap grows by ${(slope / MB).toFixed(2)} MB per minute`)
  return found
}

async function made(url: string, count: number): Promise<CreatedMesh[]> {
  const meshes: CreatedMesh[] = []
  for (let i = 0; i < count; i++)
    meshes.push(await createMesh({ url, slug: `soak-${i}`, name: 'Founder', clock: systemClock, dial: nodeDial, random: nodeRandom }))
  return meshes
}

interface Surroundings {
  readonly end: number
  readonly stay: number
  /** Those who left without a word; where it is missing nobody does. */
  readonly vanished: SessionPubkey[] | undefined
  readonly here: Set<Guest>
  readonly tally: Tally
}

/** One guest after the other. */
async function seat(url: string, identity: CreatedMesh, dice: Dice, { end, stay: longest, vanished, here, tally }: Surroundings): Promise<void> {
  await wait(dice.between(0, Math.min(20_000, (end - Date.now()) / 3)))
  while (Date.now() < end) {
    const guest = await Guest.come(url, identity, tally)
    if (!guest) {
      await wait(dice.between(1_000, 10_000))
      continue
    }
    here.add(guest)
    await wait(Math.max(0, Math.min(dice.between(longest / 6, longest), end - Date.now())))
    here.delete(guest)
    if (vanished && dice.next() < 0.1) vanished.push(await guest.vanish())
    else await guest.leave()
  }
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

async function sample(slot: Slot, end: number, take: (measured: Measured) => void): Promise<void> {
  while (Date.now() + sampleEvery < end) {
    await wait(sampleEvery)
    take(await slot.measure())
  }
}

async function rowsLeft(store: string, vanished: readonly SessionPubkey[]): Promise<string[]> {
  const sql = postgres(store, { max: 1, onnotice: () => {} })
  const [row] = await sql<{ live: number; queued: number }[]>`
    select (select count(*)::int from mesh.presence where live) as live, (select count(*)::int from mesh.delivery where rung in ('stored', 'received') and recipient_pubkey <> all(${[...vanished]})) as queued`
  await sql.end()
  return [
    ...(row?.live === 0 ? [] : [`${row?.live ?? '?'} presences are left live in the store`]),
    ...(row?.queued === 0 ? [] : [`${row?.queued ?? '?'} deliveries are left in queues`]),
  ]
}

function leftOver(before: Measured, after: Measured): string[] {
  return [
    ...(after.sockets > before.sockets + pool ? [`${after.sockets - before.sockets} more sockets are open than before`] : []),
    ...(after.timers > before.timers + pool ? [`${after.timers - before.timers} more timers run than before`] : []),
    ...(after.heapUsed > before.heapUsed + allowed.left ? [`${((after.heapUsed - before.heapUsed) / MB).toFixed(1)} MB more are in use than before`] : []),
  ]
}

/** By how much the values grow from one to the next, as the line of least squares through them says. */
function slopeOf(values: readonly number[]): number {
  const n = values.length
  if (n < 2) return 0
  const x = (n - 1) / 2
  const y = values.reduce((sum, value) => sum + value, 0) / n
  const above = values.reduce((sum, value, i) => sum + (i - x) * (value - y), 0)
  return above / values.reduce((sum, _, i) => sum + (i - x) ** 2, 0)
}

const shown = ({ rss, heapUsed, timers, sockets }: Measured) =>
  `rss ${(rss / MB).toFixed(0)} MB, heap ${(heapUsed / MB).toFixed(1)} MB, ${timers} timers, ${sockets} sockets`
