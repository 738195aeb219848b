import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock } from '@claudemesh/protocol'

/** What a process can tell of itself, and do about it. */
export interface Engine {
  /** Bytes that it has of the system's memory. */
  resident(): number
  /** The share of the time since the last call in which its event loop had work. */
  busy(): number
  /** Collects all garbage, and gives back to the system what is free. Takes some milliseconds for each ten megabytes in use. */
  giveBack(): void
}

const every = 60_000
const quiet = 0.02
const worthIt = 32 * 1024 * 1024

/** This process. */
export function thisEngine(): Engine {
  // Only new contexts see the flag.
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as NodeJS.GCFunction
  let last = performance.eventLoopUtilization()
  return {
    resident: () => process.memoryUsage.rss(),
    busy: () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, last)
      last = now
      return utilization
    },
    giveBack: () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }),
  }
}

/**
 * The engine keeps what it once needed, a hundred megabytes and more after many hellos: it is given back once there was hardly any work for a minute, if it may
 * be much. The function given back ends the watch.
 */
export function giveBackWhenQuiet(engine: Engine, clock: Clock): () => void {
  let cancel = () => {}
  let left = 0
  const watch = () => {
    cancel = clock.after(every, () => {
      if (engine.busy() <= quiet && engine.resident() > left + worthIt) {
        engine.giveBack()
        left = engine.resident()
        // What that took is no work.
        engine.busy()
      }
      watch()
    })
  }
  engine.busy()
  watch()
  return () => cancel()
}
