import { open } from 'node:fs/promises'
import type { MessageId } from '@claudemesh/protocol'
import { traceOf, type Trace } from './trace.ts'

const tail = 8 * 1024 * 1024
const remembered = 8192
/** Within JSON. The text of a peer cannot begin a frame, so that none vouches for the message of another. */
const framed = /<peer-message [^<>]*? id=\\*"([A-Za-z0-9_-]{22})\\*"/g

interface File {
  readonly path: string
  offset: number | undefined
}

/** What Claude Code writes down of a session, read as it grows. Of more than 8 MB at once the last count. */
export class Transcript {
  readonly #traces = new Map<MessageId, { readonly trace: Trace; readonly alone: boolean }>()
  #file: File | undefined
  #reading: Promise<void> = Promise.resolve()
  #readable = false
  #proven = false

  get path(): string | undefined {
    return this.#file?.path
  }

  /** It goes on in another file: what stands in the last one was shown all the same. */
  set path(path: string) {
    const last = this.#file
    if (path === last?.path) return
    this.#file = { path, offset: undefined }
    if (last) this.#reading = this.#reading.then(() => this.#more(last))
  }

  /** Whether its word counts at all. */
  get readable(): boolean {
    return this.#readable
  }

  /** It is written as expected: then its silence says something, too. */
  get proven(): boolean {
    return this.#readable && this.#proven
  }

  trace(id: MessageId): Trace | undefined {
    return this.#traces.get(id)?.trace
  }

  /** Whether the newest word on it speaks of no other message. */
  alone(id: MessageId): boolean {
    return this.#traces.get(id)?.alone ?? true
  }

  forget(id: MessageId): void {
    this.#traces.delete(id)
  }

  /** Takes in what was written since. */
  read(): Promise<void> {
    const file = this.#file
    if (file) this.#reading = this.#reading.then(() => this.#more(file))
    return this.#reading
  }

  async #more(file: File): Promise<void> {
    const more = await readFrom(file)
    this.#readable = more !== undefined
    if (!more) return
    // A line that is being written is read when it is whole.
    const end = more.bytes.lastIndexOf('\n') + 1
    file.offset = more.from + end
    for (const line of more.bytes.toString('utf8', 0, end).split('\n')) this.#take(line)
  }

  #take(line: string): void {
    const ours = line.includes('peer-message ')
    if (!ours && (this.#proven || !/"user"|blocked by hook/.test(line))) return
    const trace = traceOf(line)
    if (trace === 'shown' || trace === 'kept') this.#proven = true
    if (trace === undefined || !ours) return
    const ids = new Set([...line.matchAll(framed)].map(([, id]) => id as MessageId))
    for (const id of ids) this.#note(id, trace, ids.size === 1)
  }

  #note(id: MessageId, trace: Trace | 'removed', alone: boolean): void {
    if (this.trace(id) === 'shown') return
    this.#traces.delete(id)
    if (trace !== 'removed') this.#traces.set(id, { trace, alone })
    const [oldest] = this.#traces.keys()
    if (this.#traces.size > remembered && oldest !== undefined) this.#traces.delete(oldest)
  }
}

/** What stands there from the offset on, or at its end; undefined when it cannot be read. */
async function readFrom({ path, offset }: File): Promise<{ bytes: Buffer; from: number } | undefined> {
  try {
    await using file = await open(path)
    const { size } = await file.stat()
    const from = Math.max(size - tail, offset === undefined || offset > size ? 0 : offset)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
    return { bytes: buffer.subarray(0, bytesRead), from }
  } catch {
    return undefined
  }
}
