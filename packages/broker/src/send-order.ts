import { isPutOff, isStorageAway, type Clock, type Refused } from '@claudemesh/protocol'
import type { Refusal } from './refusal.ts'

/** So long after a refusal may still arrive what was sent before it was heard. */
const onItsWay = 2_000
/** What is told to those behind one that may come again at any time. */
const soon = 100

const message = 'an earlier message of this session was put off, and is to go first'

interface First extends Pick<Refused, 'code'> {
  readonly id: string
  readonly at: number
  readonly retryAt: number | undefined
}

/**
 * Keeps the stored sends of one connection in their order: behind one that was refused for now, and that its sender will send again, the others are refused too
 * until it comes. Nothing is remembered of them: a client that sends nothing new until all are answered brings them in their order. One that never comes again is
 * forgotten as soon as whatever was on its way must have arrived.
 */
export class SendOrder {
  #first: First | undefined

  /** Whether one was refused that may come again. */
  get waits(): boolean {
    return this.#first !== undefined
  }

  /** This stored send is answered with that. */
  refused(id: string, why: Refused, clock: Clock): void {
    const now = clock.now()
    if (!isPutOff(why) && !isStorageAway(why)) return
    // Of those that the store failed, the first was told first.
    if (this.#first && isStorageAway(this.#first) && !isOver(this.#first, now)) return
    this.#first = { id, code: why.code, at: now, retryAt: why.retryAfter === undefined ? undefined : now + why.retryAfter }
  }

  /** Why this stored send has to wait; undefined when it is its turn. */
  before(id: string, clock: Clock): Refusal | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    const now = clock.now()
    if (id === first.id || isOver(first, now)) {
      this.#first = undefined
      return undefined
    }
    const { code, retryAt } = first
    const retryAfter = retryAt === undefined ? undefined : Math.min(Math.max(retryAt - now, soon), first.at + onItsWay - now)
    return { code, message, retryAfter }
  }
}

const isOver = ({ at }: First, now: number): boolean => now >= at + onItsWay || now < at
