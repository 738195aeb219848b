import type { Mesh } from '@claudemesh/client'
import type { Output } from '../output.ts'

/** Rejects when the session is closed against our will. A connection that is lost, and one that is back, is said once. */
export function untilClosed(mesh: Mesh, output: Output): Promise<never> {
  let lost = false
  return new Promise((_resolve, reject) => {
    mesh.on('connection', (state) => {
      if (state.phase === 'closed') reject(state.reason)
      else if (state.phase === 'waiting' && !lost) {
        lost = true
        output.note(`connection lost (${state.cause.message}); trying again`)
      } else if (state.phase === 'ready' && lost) {
        lost = false
        output.note('connected again')
      }
    })
  })
}
