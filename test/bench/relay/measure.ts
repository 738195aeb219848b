import { performance } from 'node:perf_hooks'
import { Child } from './child.ts'
import { pin } from './cores.ts'
import type { Job } from './load.ts'
import type { PubSubJob } from './pubsub-load.ts'
import type { Server, Usage } from './servers.ts'

/** Rates per second of the server's processor time and of the clock on the wall. */
export interface Figures {
  readonly perCore: number
  readonly perSecond: number
  /** How long acks took in milliseconds, where the load was offered at a rate. */
  readonly delays: readonly number[]
}

/** Who loads the server, and with what. */
export type Load =
  | { readonly by: 'load'; readonly job: Omit<Job, 'port' | 'seconds'>; readonly pinned?: boolean }
  | { readonly by: 'pubsub-load'; readonly job: Omit<PubSubJob, 'port' | 'seconds'>; readonly pinned?: boolean }

/** Loads a fresh server for so many seconds, after one to warm up. */
export async function measure(start: () => Promise<Server>, { by, job, pinned = true }: Load, seconds: number): Promise<Figures> {
  await using server = await start()
  await using loader = new Child(new URL(`${by}.ts`, import.meta.url))
  if (pinned) pin(loader.pid, 1)
  await loader.ask({ ...job, port: server.port, seconds })
  const [from, began] = [await server.usage(), performance.now()]
  loader.tell('go on')
  const { total, delays = [] } = await loader.next<{ total: number; delays?: number[] }>()
  const wall = (performance.now() - began) / 1000
  const to: Usage = await server.usage()
  return { perCore: total / (to.cpu - from.cpu), perSecond: total / wall, delays }
}

/** A server and its load, measured so often. */
export interface Contender {
  readonly start: () => Promise<Server>
  readonly load: Load
  readonly rounds: number
}

/** Several servers by turns, so that what else the machine does meets all of them alike; the middle rate of each, per second of processor time. */
export async function byTurns(contenders: readonly Contender[], seconds: number): Promise<number[]> {
  const rates = contenders.map((): number[] => [])
  for (let round = 0; round < Math.max(...contenders.map(({ rounds }) => rounds)); round++) {
    for (const [i, { start, load, rounds }] of contenders.entries()) {
      if (round < rounds) rates[i]?.push((await measure(start, load, seconds)).perCore)
    }
  }
  return rates.map((all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0)
}
