import { MeshError } from '@claudemesh/protocol'

/** The chunks of `body` in groups of at least `least` bytes. What arrived before the body failed is still given; more than `room` bytes are refused. */
export async function* groups(body: AsyncIterable<Uint8Array>, room: number, least: number): AsyncGenerator<Uint8Array[]> {
  let held: Uint8Array[] = []
  let bytes = 0
  let left = room
  try {
    for await (const chunk of body) {
      if (chunk.length > left) throw new MeshError('upload_incomplete', 'more bytes arrived than the size that was declared')
      left -= chunk.length
      bytes += chunk.length
      held.push(chunk)
      if (bytes < least) continue
      yield held
      held = []
      bytes = 0
    }
  } catch (error) {
    if (bytes > 0) yield held
    throw error
  }
  if (bytes > 0) yield held
}

/** Refuses to continue an upload anywhere but where it stands. */
export function refuseOffset(offset: number, safe: number): void {
  if (offset !== safe) throw new MeshError('wrong_offset', `the upload stands at byte ${safe}, not at ${offset}`)
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
