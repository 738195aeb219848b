import { setTimeout as wait } from 'node:timers/promises'
import { MeshError } from '@claudemesh/protocol'

const attempts = 50

/** Asks again while the answer is to ask later: a pool that lost its connections fails once for each of them. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof MeshError) || error.retry === 'never' || attempt === attempts) throw error
      await wait(100)
    }
  }
}
