import type { Clock, MessageId } from '@claudemesh/protocol'
import type { Parts } from './offers.ts'
import type { Trace } from './trace.ts'
import type { Transcript } from './transcript.ts'

/** A hook sees a prompt some hundredths of a second before the model is asked. */
const believedAfter = 1000
/** Claude Code has written it down by then, if it took it. */
const missingAfter = 10_000

interface SeenOptions {
  readonly clock: Clock
  readonly transcript: Transcript
  readonly believe: (parts: Parts) => void
  /** Another hook kept this prompt from the model. */
  readonly kept: (parts: Parts) => void
  /** The prompt is nowhere. */
  readonly lost: (parts: Parts) => void
}

interface Sighting {
  readonly parts: Parts
  readonly at: number
}

/**
 * What a hook saw on its way to the model. The transcript tells whether it came there, because another hook may have kept it away; where there is none, it is believed
 * when the session goes on after it, so that nothing is called shown by a Claude Code that died in between.
 */
export class Seen {
  readonly #o: SeenOptions
  readonly #sightings = new Set<Sighting>()
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: SeenOptions) {
    this.#o = options
  }

  add(parts: Parts): void {
    if (parts.whole.length + parts.cut.length === 0) return
    this.#sightings.add({ parts, at: this.#o.clock.now() })
    this.#later()
  }

  /** The session went on. */
  confirm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const due = [...this.#sightings]
    if (due.length === 0) return
    if (this.#o.transcript.path === undefined) for (const sighting of due) this.#end(sighting, this.#o.believe)
    else void this.#ask(due)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async #ask(due: readonly Sighting[]): Promise<void> {
    const { transcript, clock, believe, kept, lost } = this.#o
    await transcript.read()
    if (this.#stopped) return
    for (const sighting of due) {
      const trace = traceOf(sighting, transcript)
      const age = clock.now() - sighting.at
      if (trace === 'kept') this.#end(sighting, kept)
      else if (trace === 'shown' || !transcript.readable) this.#end(sighting, believe)
      else if (!transcript.proven && age >= believedAfter) this.#end(sighting, believe)
      else if (age >= missingAfter) this.#end(sighting, lost)
    }
    this.#later()
  }

  #end(sighting: Sighting, verdict: (parts: Parts) => void): void {
    if (this.#sightings.delete(sighting)) verdict(sighting.parts)
  }

  #later(): void {
    if (this.#sightings.size > 0) this.#cancel ??= this.#o.clock.after(believedAfter, () => this.confirm())
  }
}

/** They stood in one prompt: what holds of one, holds of all. */
function traceOf({ parts: { whole, cut } }: Sighting, transcript: Transcript): Trace | undefined {
  const traces = new Set([...whole, ...cut].map(({ id }: { id: MessageId }) => transcript.trace(id)))
  return (['shown', 'kept', 'queued'] as const).find((trace) => traces.has(trace))
}
