import { MeshError } from '@claudemesh/protocol'

/** The chunks of `body`; more than `room` bytes of them are refused. */
export async function* within(room: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let left = room
  for await (const chunk of body) {
    if (chunk.length > left) throw new MeshError('upload_incomplete', 'more bytes arrived than the size that was declared')
    left -= chunk.length
    yield chunk
  }
}

/** The bytes of the chunks in pieces that fill `buffer`, the last one shorter. Each is valid until the next is asked for. */
export async function* filled(buffer: Buffer, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let used = 0
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length;) {
      const taken = Math.min(buffer.length - used, chunk.length - from)
      buffer.set(chunk.subarray(from, from + taken), used)
      used += taken
      from += taken
      if (used < buffer.length) continue
      yield buffer
      used = 0
    }
  }
  if (used > 0) yield buffer.subarray(0, used)
}

/** Refuses to continue an upload anywhere but where it stands. */
export function refuseOffset(offset: number, safe: number): void {
  if (offset !== safe) throw new MeshError('wrong_offset', `the upload stands at byte ${safe}, not at ${offset}`)
}

/** The size of a finished object, which must be the declared one. */
export function sameSize(finished: number, size: number): number {
  if (finished !== size) throw new MeshError('upload_incomplete', `the file is finished, with ${finished} bytes`)
  return finished
}

/** Runs one task per name at a time; a second one is refused, since two writers would interleave. */
export class OneAtATime {
  readonly #names = new Set<string>()

  async run<T>(name: string, task: () => Promise<T>): Promise<T> {
    if (this.#names.has(name)) throw new MeshError('wrong_offset', 'another upload of the same file is under way')
    this.#names.add(name)
    try {
      return await task()
    } finally {
      this.#names.delete(name)
    }
  }
}
