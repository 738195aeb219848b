import type { IncomingMessage, ServerResponse } from 'node:http'
import { finished } from 'node:stream/promises'
import { verifyHttp, type HttpMethod } from '@claudemesh/crypto'
import { MeshError, release, times, type FileId } from '@claudemesh/protocol'
import { codeOf } from '../asked.ts'
import { blobOf, downloaded, goingOn, placeOf, readableFile, uploadOf, type FileRow } from '../files.ts'
import type { Kernel } from '../kernel.ts'
import type { Mesh } from '../mesh.ts'
import type { Presence } from '../presence.ts'
import { takeOnce } from '../signed-requests.ts'
import type { Span } from '../tracing.ts'
import { guards, reply, replyError } from './reply.ts'

/** A session of the mesh, as the signature of its request proves. */
interface Caller {
  readonly mesh: Mesh
  readonly me: Presence
}

/** Which file a request is about, where it comes from, and the span it is a part of. */
interface Asked {
  readonly id: FileId
  readonly address: string
  readonly span: Span | undefined
}

/** Sends or takes the object of a file: ciphertext, through the broker, so that access is checked each time and the storage is nobody else's to reach. */
export async function answerFile(kernel: Kernel, request: IncomingMessage, response: ServerResponse, { id, address, span: cause }: Asked): Promise<void> {
  const { method } = request
  if (method !== 'GET' && method !== 'HEAD' && method !== 'PUT') {
    reply(response, 405, { code: 'method_not_allowed' })
    return
  }
  const { origin } = request.headers
  if (origin !== undefined && !kernel.pages.has(origin)) throw new MeshError('forbidden', 'pages of this origin may not connect')
  const caller = await callerOf(kernel, request, method, address)
  using _ = kernel.transfers.begin(caller.me.key)
  // Node destroys the socket by itself.
  request.socket.setTimeout(times.transferIdle)
  const span = kernel.tracer?.begin(method === 'PUT' ? 'upload' : 'download', { mesh: caller.mesh.id, session: caller.me.key, file: id }, cause)
  try {
    const bytes = await (method === 'PUT' ? take : give)(kernel, caller, request, response, id)
    span?.end({ status: response.statusCode, bytes })
  } catch (error) {
    span?.end({ code: codeOf(error) })
    throw error
  }
}

async function callerOf(kernel: Kernel, request: IncomingMessage, method: HttpMethod, address: string): Promise<Caller> {
  const now = kernel.clock.now()
  const signed = { method, path: request.url ?? '', size: lengthOf(request), auds: kernel.audiences, now }
  const { mesh: meshId, session, nonce } = verifyHttp(request.headers.authorization ?? '', signed)
  // Anybody can sign: who is not known here, and has the store asked, greets.
  const known = kernel.meshes.peek(meshId)?.presences.has(session) === true
  if (!known) kernel.limiter.greet(address, now)
  // Its connection may stand at another node on the same store.
  const mesh = await kernel.meshes.get(kernel, meshId)
  const me = mesh?.presences.get(session)
  if (!mesh || !me || now > me.expiresAt + times.skew) {
    if (!known) kernel.limiter.refused(address)
    throw new MeshError('unauthorized')
  }
  kernel.limiter.spend({ mesh, me }, now, 'requests')
  await takeOnce(kernel.db, meshId, { session, nonce }, now)
  return { mesh, me }
}

/** Takes a part of an upload; how many bytes of it are safe. */
async function take(kernel: Kernel, { mesh, me }: Caller, request: IncomingMessage, response: ServerResponse, id: FileId): Promise<number> {
  const offset = offsetOf(/[?&]offset=(\d{1,15})$/.exec(request.url ?? ''))
  const length = lengthOf(request)
  const row = await uploadOf(kernel, mesh.id, me.key, id)
  if (row.finishedAt !== null) throw new MeshError('not_found')
  if (offset + length > row.sizeBytes) throw new MeshError('too_large', `${row.sizeBytes} bytes were announced, ${offset + length} are sent`)
  using _ = kernel.transfers.moving(mesh.id, id)
  const safe = await append(kernel, row, offset, request, response)
  if (safe === undefined) return 0
  reply(response, 200, { offset: safe })
  return safe - offset
}

/** What is safe after all that came; undefined when that was answered already, or nobody waits for the answer. */
async function append(kernel: Kernel, row: FileRow, offset: number, request: IncomingMessage, response: ServerResponse): Promise<number | undefined> {
  await using _ = goingOn(kernel, row)
  try {
    return await blobOf(kernel).append(placeOf(row), row.sizeBytes, offset, piecesOf(kernel, request))
  } catch (error) {
    if (request.errored) {
      kernel.log('info', 'upload_cut', { mesh: row.meshId })
      response.destroy()
    } else {
      // A connection closed with bytes unread would take the answer with it: they are read and dropped until the client stops.
      request.resume()
      replyError(kernel, response, error, { connection: 'keep-alive' })
    }
    return undefined
  }
}

async function* piecesOf({ meter }: Kernel, request: IncomingMessage): AsyncGenerator<Uint8Array, void> {
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    const bytes = piece as Uint8Array
    meter.count('blob_bytes', 'in', bytes.length)
    yield bytes
    release(bytes)
  }
}

/** Sends an object; how many bytes of it the reader has. */
async function give(kernel: Kernel, { mesh, me }: Caller, request: IncomingMessage, response: ServerResponse, id: FileId): Promise<number> {
  const row = await readableFile(kernel, mesh.id, me, id)
  const { range } = request.headers
  const from = range === undefined ? 0 : offsetOf(/^bytes=(\d{1,15})-$/.exec(range))
  const found = await blobOf(kernel).read(placeOf(row), from)
  if (!found) throw new MeshError('not_found')
  if (from > 0 && from >= found.size) throw new MeshError('wrong_offset', `the object has ${found.size} bytes`)
  response.writeHead(range === undefined ? 200 : 206, {
    ...guards,
    'content-type': 'application/octet-stream',
    'content-disposition': 'attachment',
    'content-length': found.size - from,
    ...(range === undefined ? {} : { 'content-range': `bytes ${from}-${found.size - 1}/${found.size}` }),
  })
  if (request.method === 'HEAD') {
    response.end()
    return 0
  }
  try {
    for await (const piece of found.body) {
      kernel.meter.count('blob_bytes', 'out', piece.length)
      await sent(response, piece)
    }
    response.end()
    await finished(response)
  } catch (error) {
    // Whoever hung up is no failure; a storage that gives less than it has is one, and the line is cut so that nobody takes it for the end.
    if (error instanceof MeshError) kernel.log('error', 'file_cut', { code: error.code })
    response.destroy()
    return 0
  }
  await downloaded(kernel, row, me)
  return found.size - from
}

/** Resolves when the system has the bytes: their buffer is used again then. Rejects when the line is closed. */
function sent(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) return reject(new Error('the line is closed'))
    const closed = () => reject(new Error('the line is closed'))
    response.once('close', closed)
    response.write(bytes, (error) => {
      response.off('close', closed)
      if (error) reject(error)
      else resolve()
    })
  })
}

/** Bytes of the body, which must be said. */
function lengthOf(request: IncomingMessage): number {
  if (request.headers['transfer-encoding'] !== undefined) throw new MeshError('bad_frame', 'content-length: the size of the body must be said')
  return Number(request.headers['content-length'] ?? 0)
}

function offsetOf(match: RegExpExecArray | null): number {
  if (!match) throw new MeshError('bad_frame', 'offset: expected a number of bytes')
  return Number(match[1])
}
