import { setTimeout as wait } from 'node:timers/promises'
import type { CreatedMesh } from '@claudemesh/client'
import type { SessionPubkey } from '@claudemesh/protocol'
import type { Dice } from '../chaos/dice.ts'
import { Guest, type Tally } from './guest.ts'

/** What all seats have in common. */
export interface Surroundings {
  readonly end: number
  /** How long a guest stays at most. */
  readonly stay: number
  /** Those who left without a word; where it is missing nobody does. */
  readonly vanished: SessionPubkey[] | undefined
  readonly here: Set<Guest>
  readonly tally: Tally
}

/** One guest after the other. */
export async function seat(url: string, identity: CreatedMesh, dice: Dice, { end, stay, vanished, here, tally }: Surroundings): Promise<void> {
  await wait(dice.between(0, Math.min(20_000, (end - Date.now()) / 3)))
  while (Date.now() < end) {
    const guest = await Guest.come(url, identity, tally)
    if (!guest) {
      await wait(dice.between(1_000, 10_000))
      continue
    }
    here.add(guest)
    await wait(Math.max(0, Math.min(dice.between(stay / 6, stay), end - Date.now())))
    here.delete(guest)
    if (vanished && dice.next() < 0.1) vanished.push(await guest.vanish())
    else await guest.leave()
  }
}
