import { randomBytes } from 'node:crypto'
import { signHttp, type HttpMethod } from '@claudemesh/crypto'
import { b64u, random, type Frame, type Peer } from './kit.ts'

/** A file id that nobody has. */
export const fileId = (): string => `f_${Array.from(randomBytes(26), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(byte & 31)).join('')}`

/** A sealed record of the right form; the broker cannot tell it from a real one. */
export const record = () => ({ e: 1, n: b64u(24), c: b64u(300) })

export interface HttpOptions {
  readonly body?: Uint8Array
  readonly headers?: Record<string, string>
  /** Changes what is signed. */
  readonly signed?: Partial<Parameters<typeof signHttp>[0]>
}

/** The `authorization` of a request of this peer. */
export function authorization(peer: Peer, method: HttpMethod, path: string, { body, signed }: HttpOptions = {}): string {
  const { mesh, session } = peer
  return signHttp({ mesh: mesh.id, session, aud: mesh.url, method, path, size: body?.length ?? 0, ts: mesh.clock.now(), random, ...signed })
}

/** One signed request; gives its status, its JSON if it is JSON, else its bytes. */
export async function http(peer: Peer, method: HttpMethod, path: string, options: HttpOptions = {}) {
  const response = await fetch(peer.mesh.url.replace('ws:', 'http:') + path, {
    method,
    headers: { authorization: authorization(peer, method, path, options), ...options.headers },
    ...(options.body ? { body: options.body as Uint8Array<ArrayBuffer> } : {}),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && bytes.length > 0
  return {
    status: response.status,
    headers: response.headers.get('retry-after'),
    body: isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : bytes,
  }
}

export const put = (peer: Peer, id: string, body: Uint8Array, offset = 0, options: HttpOptions = {}) =>
  http(peer, 'PUT', `/v1/file/${id}?offset=${offset}`, { body, ...options })

export const get = (peer: Peer, id: string, headers: Record<string, string> = {}) => http(peer, 'GET', `/v1/file/${id}`, { headers })

/** Announces and sends an object. */
export async function uploaded(peer: Peer, kind: 'shared' | 'attachment' | 'mail', object: Uint8Array = randomBytes(1000)): Promise<string> {
  const id = fileId()
  const answer = await peer.wire.ask({ type: 'upload_file', fileId: id, kind, size: object.length })
  if (answer.type !== 'upload') throw new Error(JSON.stringify(answer))
  const sent = await put(peer, id, object)
  if (sent.status !== 200) throw new Error(JSON.stringify(sent.body))
  return id
}

/** A file shared with the whole mesh. */
export async function shared(peer: Peer, object?: Uint8Array): Promise<string> {
  const id = await uploaded(peer, 'shared', object)
  return finished(id, await peer.wire.ask({ type: 'finish_file', fileId: id, record: record() }))
}

/** A file for these sessions. */
export async function attached(peer: Peer, to: readonly string[], object?: Uint8Array): Promise<string> {
  const id = await uploaded(peer, 'attachment', object)
  return finished(id, await peer.wire.ask({ type: 'finish_file', fileId: id, to: packed(to) }))
}

export const packed = (keys: readonly string[]): string => Buffer.concat(keys.map((key) => Buffer.from(key, 'base64url'))).toString('base64url')

function finished(id: string, answer: Frame): string {
  if (answer.type !== 'ok') throw new Error(JSON.stringify(answer))
  return id
}
