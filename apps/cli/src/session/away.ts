import { MeshError } from '@claudemesh/protocol'
import type { MeshEntry } from '../home/config.ts'

/** What helps when the broker of a membership cannot be reached. */
export const awayRemedy = (entry: Pick<MeshEntry, 'data'>): string =>
  entry.data === undefined ? 'ask who runs it, or check the network' : 'start it: claudemesh up --detach'

/** Rethrows; where the broker cannot be reached, with the remedy. */
export function explainAway(entry: MeshEntry): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof MeshError) || error.code !== 'unavailable') throw error
    throw new MeshError('unavailable', `${error.message}; ${awayRemedy(entry)}`, { cause: error })
  }
}
