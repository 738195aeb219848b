import { createHash } from 'node:crypto'
import { request as plainRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { MeshError, release, times, WriteBehind } from '@claudemesh/protocol'
import type { Answer, Transfer } from '../transfer.ts'
import { nodeCipher } from './chunk-cipher.ts'

const writeSize = 512 * 1024

/** Files over node:http, sealed and hashed by OpenSSL. */
export const nodeTransfer: Transfer = {
  put: async (url, headers, size, body) => {
    const request = open(url, 'PUT', { ...headers, 'content-length': String(size), 'content-type': 'application/octet-stream' })
    const answer = answerOf(request)
    const { answered } = answer
    // A refusal may come while bytes are still on their way; then they need not go.
    let refused = false
    answered.then(
      () => (refused = true),
      () => (refused = true),
    )
    try {
      const line = new WriteBehind(writeSize, async (bytes) => {
        if (!refused) await Promise.race([written(request, bytes), answered])
      })
      for await (const piece of body) {
        if (refused) break
        await line.push(piece)
      }
      await line.flush()
      if (!refused) request.end()
      return await answer.whole(await answered)
    } catch (error) {
      request.destroy()
      throw asUnavailable(error)
    }
  },
  get: async (url, headers) => {
    const request = open(url, 'GET', headers)
    // The parser, which hears them first, copies the bodies out of the socket's bytes.
    request.once('socket', (socket) => socket.on('data', release))
    request.end()
    const response = await answerOf(request).answered.catch((error: unknown) => {
      throw asUnavailable(error)
    })
    return { status: response.statusCode ?? 0, body: piecesOf(response) }
  },
  sha256: () => createHash('sha256'),
  cipher: nodeCipher,
}

function open(url: string, method: string, headers: Readonly<Record<string, string>>): ClientRequest {
  const request = (url.startsWith('https:') ? tlsRequest : plainRequest)(url, { method, headers, agent: false })
  request.setTimeout(times.transferIdle, () => request.destroy(new Error('it went silent')))
  return request
}

function written(request: ClientRequest, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => request.write(bytes, (error) => (error ? reject(error) : resolve())))
}

function answerOf(request: ClientRequest) {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', reject)
  })
  const whole = async (response: IncomingMessage): Promise<Answer> => {
    const pieces: Uint8Array[] = []
    for await (const piece of piecesOf(response)) pieces.push(Uint8Array.from(piece))
    request.destroy()
    return { status: response.statusCode ?? 0, body: piecesIn(pieces) }
  }
  return { answered, whole }
}

async function* piecesOf(response: IncomingMessage): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const piece of response) {
      yield piece as Uint8Array
      release(piece as Uint8Array)
    }
  } catch (error) {
    throw asUnavailable(error)
  }
}

async function* piecesIn(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* pieces
}

/** What the file, its seal or its reader said stays; the rest is the line's doing. */
function asUnavailable(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (error instanceof MeshError || code === undefined ? !(error instanceof Error && /aborted|silent|socket/i.test(error.message)) : !lines.has(code))
    return error
  return new MeshError('unavailable', `the transfer was cut: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}

const lines = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'HPE_INVALID_EOF_STATE',
])
