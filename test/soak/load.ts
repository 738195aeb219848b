import { performance } from 'node:perf_hooks'
import { systemClock } from '@claudemesh/protocol'
import { TestMesh } from '../broker/kit.ts'
import { endWithParent } from '../harness/leash.ts'
import { Pair } from './pair.ts'
import { LoadTally, type Counted } from './tally.ts'

/** What the load of a soak is asked to do, one after the other. */
export type Wish =
  | { readonly do: 'come'; readonly port: number; readonly url: string; readonly pairs: number }
  /** Keeps so many under way per pair, and says how many were acked per second. */
  | { readonly do: 'measure'; readonly depth: number; readonly seconds: number }
  /** From now on so many per second, evenly; and a pair is replaced by another every so many milliseconds. */
  | { readonly do: 'offer'; readonly perSecond: number; readonly replaceEvery: number }
  | { readonly do: 'count' }
  | { readonly do: 'leave' }

/** What its end tells. */
export interface Left {
  readonly counted: Counted
  /** What must not happen and did, with how often. */
  readonly wrong: Readonly<Record<string, number>>
}

const perMesh = 20
const tick = 5
const warmUp = 1000
/** Who is refused while the measure is taken, tries again after this. */
const patience = 100
/** Sends that are later than this are left out, so that no flood follows a pause. */
const mostBehind = 1000

const tally = new LoadTally()
const wrong: Record<string, number> = {}
let onAnswer: (pair: Pair, refused: boolean) => void = () => {}

let port = 0
let meshes: TestMesh[] = []
let pairs: Pair[] = []
let came = 0
let sent = 0
let stop = async () => {}

endWithParent()
process.on('message', (wish: Wish) => void fulfil(wish).then((result) => process.send?.(result)))

async function fulfil(wish: Wish): Promise<object> {
  if (wish.do === 'come') {
    port = wish.port
    meshes = await Promise.all(Array.from({ length: Math.ceil((2 * wish.pairs) / perMesh) }, () => new TestMesh(wish.url, systemClock).create()))
    while (pairs.length < wish.pairs) {
      const pair = await another()
      pairs.push(pair)
    }
  } else if (wish.do === 'measure') return { perSecond: await measure(wish.depth, wish.seconds) }
  else if (wish.do === 'offer') offer(wish.perSecond, wish.replaceEvery)
  else if (wish.do === 'leave') {
    await stop()
    await Promise.all(pairs.map((pair) => pair.leave()))
    return { counted: tally.take(), wrong } satisfies Left
  }
  return tally.take()
}

async function another(): Promise<Pair> {
  const i = came++
  const mesh = meshes[i % meshes.length] as TestMesh
  const pair: Pair = await Pair.come(port, mesh, `Pair ${i}`, { answered: (took, code) => answered(pair, took, code), wrong: note }, () => performance.now())
  return pair
}

function answered(pair: Pair, took: number, code?: string): void {
  if (code === undefined) tally.acked(took)
  else tally.refused(code)
  onAnswer(pair, code !== undefined)
}

function note(what: string): void {
  wrong[what] = (wrong[what] ?? 0) + 1
}

function send(pair: Pair): void {
  tally.sent++
  pair.send(sent++)
}

async function measure(depth: number, seconds: number): Promise<number> {
  let running = true
  onAnswer = (pair, refused) => {
    if (!running) return
    if (refused) setTimeout(() => running && send(pair), patience)
    else send(pair)
  }
  for (const pair of pairs) for (let i = 0; i < depth; i++) send(pair)
  await new Promise((resolve) => setTimeout(resolve, warmUp))
  tally.take()
  const from = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  running = false
  return (tally.take().acked * 1000) / (performance.now() - from)
}

function offer(perSecond: number, replaceEvery: number): void {
  const began = performance.now()
  let offered = 0
  const sending = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * perSecond)
    const late = due - offered - Math.ceil((mostBehind / 1000) * perSecond)
    if (late > 0) {
      tally.left += late
      offered += late
    }
    for (; offered < due; offered++) send(pairs[offered % pairs.length] as Pair)
  }, tick)
  const underWay = new Set<Promise<void>>()
  const replacing = setInterval(() => {
    const work = replace().finally(() => underWay.delete(work))
    underWay.add(work)
  }, replaceEvery)
  stop = async () => {
    clearInterval(sending)
    clearInterval(replacing)
    await Promise.all(underWay)
  }
}

/** The pair that has been here for the longest leaves, and another one comes. */
async function replace(): Promise<void> {
  const [oldest, ...others] = pairs
  if (!oldest || others.length === 0) return
  pairs = others
  await oldest.leave()
  // Others may have been replaced meanwhile.
  const next = await another()
  pairs.push(next)
  tally.replaced++
}
