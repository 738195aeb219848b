import { setTimeout as wait } from 'node:timers/promises'
import { enrol } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { memberKey } from '@claudemesh/crypto'
import { MeshError, systemClock } from '@claudemesh/protocol'
import type { Dice } from './dice.ts'

/** People who try to join with one link, each until it is in or told that the link is used up; resolves with how many got in. */
export async function joinAll(link: string, count: number, dice: Dice, within: number): Promise<number> {
  const all = Array.from({ length: count }, (_, i) => join(link, `joiner${i}`, dice.between(0, within)))
  return (await Promise.all(all)).filter(Boolean).length
}

async function join(link: string, name: string, after: number): Promise<boolean> {
  const member = memberKey(nodeRandom(32))
  await wait(after)
  for (;;) {
    try {
      await enrol({ link, name, member, clock: systemClock, dial: nodeDial, random: nodeRandom })
      return true
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      if (error.code === 'invite_used') return false
      await wait(200)
    }
  }
}
