import { setTimeout as wait } from 'node:timers/promises'
import type { ChaosClient } from './client.ts'
import { placeOf, type Fault, type Step } from './plan.ts'
import type { Service } from './service.ts'

/** Bytes per second of a throttled line. */
const slow = 4_000

/** Brings the faults of a plan about, and heals each after its time. */
export class Faults {
  readonly counts = new Map<string, number>()
  readonly #service: Service
  readonly #acked: () => number
  readonly #lasting = new Map<string, Promise<void>>()

  readonly #note: (line: string) => void

  constructor(service: Service, acked: () => number, note: (line: string) => void) {
    this.#service = service
    this.#acked = acked
    this.#note = note
  }

  /** Follows the plan for so many milliseconds. */
  async follow(steps: Iterable<Step>, clients: readonly ChaosClient[], lasts: number): Promise<void> {
    const end = Date.now() + lasts
    let due = 0
    for (const { after, fault } of steps) {
      due += after
      while (this.#acked() < due && Date.now() < end) await wait(10)
      await this.#lasting.get(placeOf(fault))
      if (Date.now() >= end) return
      this.#note(`${JSON.stringify(fault)} after ${this.#acked()} messages`)
      this.counts.set(fault.kind, (this.counts.get(fault.kind) ?? 0) + 1)
      const lasting = this.#bring(fault, clients).then(() => this.#note(`healed: ${placeOf(fault)}`))
      this.#lasting.set(placeOf(fault), lasting)
    }
  }

  /** Resolves once nothing is broken any more. */
  async healed(): Promise<void> {
    await Promise.all(this.#lasting.values())
  }

  async #bring(fault: Fault, clients: readonly ChaosClient[]): Promise<void> {
    const { slots, postgres, nats } = this.#service
    if ('node' in fault) {
      await slots[fault.node]?.end(fault.kind === 'kill' ? 'SIGKILL' : 'SIGTERM')
      await wait(fault.lasts)
      await slots[fault.node]?.start()
    } else if (fault.kind === 'postgres') {
      await postgres?.stop(fault.how)
      await wait(fault.lasts)
      await postgres?.start()
    } else if (fault.kind === 'nats') {
      await nats?.stop()
      await wait(fault.lasts)
      await nats?.restart()
    } else await onLine(fault, clients[fault.client] as ChaosClient)
  }
}

async function onLine({ kind, lasts }: Fault, client: ChaosClient): Promise<void> {
  const { line } = client
  if (kind === 'cut') line.cut()
  else if (kind === 'respawn') client.respawn()
  else if (kind === 'freeze') line.freeze()
  else if (kind === 'throttle') line.throttle(slow)
  else {
    line.refuse()
    line.cut()
  }
  await wait(lasts)
  if (kind === 'freeze') line.thaw()
  else if (kind === 'throttle') line.throttle()
  else line.refuse(false)
}
