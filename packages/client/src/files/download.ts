import { FileStream, fileHead, openFile, resumePoint, toB64u } from '@claudemesh/crypto'
import { MeshError } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import type { Hasher } from '../transfer.ts'
import type { ObjectWire } from './object-wire.ts'
import { goingOn } from './retry.ts'
import type { FilePart, Progress, RemoteFile } from './types.ts'

/** Fetches a file into a part, every chunk verified before it is written, and the whole of it at the end. Throws `file_damaged`: then nothing of the part may be kept. */
export async function download(kernel: Kernel, wire: ObjectWire, file: RemoteFile, part: FilePart, progress?: Progress): Promise<void> {
  let have = await part.size()
  const fetchRest = async () => {
    const hasher = wire.transfer.sha256()
    have = resumePoint(await part.size(), file.size).plain
    for await (const plain of rest(wire, file, part, have, hasher)) {
      await part.append(plain)
      have += plain.length
      progress?.(have, file.size)
    }
    if (toB64u(hasher.digest()) !== file.sha256) throw new MeshError('file_damaged', 'the file was not kept: it is not the one its sender described')
    await part.sync()
  }
  await goingOn(kernel, () => have, fetchRest)
}

/** What is missing of the part, which is cut back to whole chunks first. */
async function* rest(wire: ObjectWire, file: RemoteFile, part: FilePart, have: number, hasher: Hasher): AsyncGenerator<Uint8Array, void> {
  const from = resumePoint(have, file.size)
  const { cipher } = wire.transfer
  await part.truncate(from.plain)
  if (from.plain === 0) {
    yield* openFile(file, hashed(await wire.get(file.id), hasher), { cipher })
    return
  }
  const stream = FileStream.of(file, await headOf(wire, file), cipher)
  hasher.update(stream.head)
  // Sealed again, the local part gives the state and the hash as far as it goes, and proves itself by what follows.
  for await (const plain of chunksOf(part.read())) hasher.update(stream.seal(plain, false))
  yield* openFile(file, hashed(await wire.get(file.id, from.object), hasher), { after: { stream, plain: from.plain }, cipher })
}

async function headOf(wire: ObjectWire, { id }: RemoteFile): Promise<Uint8Array> {
  const head = new Uint8Array(fileHead)
  let have = 0
  for await (const piece of await wire.get(id)) {
    head.set(piece.subarray(0, fileHead - have), have)
    have += Math.min(piece.length, fileHead - have)
    if (have === fileHead) break
  }
  return head.subarray(0, have)
}

async function* hashed(object: AsyncIterable<Uint8Array>, hasher: Hasher): AsyncGenerator<Uint8Array, void> {
  for await (const piece of object) {
    hasher.update(piece)
    yield piece
  }
}

const chunk = 65_536

/** A part that was cut back to whole chunks, chunk by chunk. */
async function* chunksOf(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let filled = 0
  let whole = new Uint8Array(chunk)
  for await (const piece of plain) {
    for (let at = 0; at < piece.length;) {
      const taken = Math.min(chunk - filled, piece.length - at)
      whole.set(piece.subarray(at, at + taken), filled)
      filled += taken
      at += taken
      if (filled < chunk) continue
      yield whole
      whole = new Uint8Array(chunk)
      filled = 0
    }
  }
}
