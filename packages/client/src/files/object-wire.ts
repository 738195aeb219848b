import { signHttp, type HttpMethod } from '@claudemesh/crypto'
import { MeshError, fromErrorFrame, type FileId } from '@claudemesh/protocol'
import { audienceOf } from '../greeting.ts'
import type { Kernel } from '../kernel.ts'
import type { Answer, Transfer } from '../transfer.ts'

const longestError = 16_384

/** The broker's HTTP side: each request signed by this session, for itself alone. */
export class ObjectWire {
  readonly #kernel: Kernel

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Throws `file_refused` when this platform cannot move files. */
  get transfer(): Transfer {
    const { transfer } = this.#kernel.options
    if (!transfer) throw new MeshError('file_refused', 'this client was made without a way to move files')
    return transfer
  }

  /** Sends `size` bytes from `offset`; says how many are safe then. */
  async put(id: FileId, offset: number, size: number, body: AsyncIterable<Uint8Array>): Promise<number> {
    const { url, headers } = this.#request('PUT', `/v1/file/${id}?offset=${offset}`, size)
    const answer = await this.transfer.put(url, headers, size, body)
    const json = await jsonOf(answer)
    const safe = (json as { offset?: unknown }).offset
    if (answer.status !== 200) throw errorOf(json)
    if (typeof safe !== 'number') throw new MeshError('bad_frame', 'the broker did not say how many bytes are safe')
    return safe
  }

  /** The object from byte `from`. */
  async get(id: FileId, from = 0): Promise<AsyncIterable<Uint8Array>> {
    const { url, headers } = this.#request('GET', `/v1/file/${id}`, 0)
    const answer = await this.transfer.get(url, from === 0 ? headers : { ...headers, range: `bytes=${from}-` })
    if (answer.status === (from === 0 ? 200 : 206)) return answer.body
    throw errorOf(await jsonOf(answer))
  }

  #request(method: HttpMethod, path: string, size: number): { url: string; headers: Record<string, string> } {
    const { options, random } = this.#kernel
    const aud = audienceOf(options.url)
    const authorization = signHttp({ mesh: options.identity.mesh, session: options.session.key, aud, method, path, size, ts: options.clock.now(), random })
    return { url: aud.replace(/^ws/, 'http') + path, headers: { authorization } }
  }
}

async function jsonOf({ body }: Answer): Promise<object> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true })
    if (text.length > longestError) break
  }
  try {
    return JSON.parse(text) as object
  } catch {
    return { code: 'unavailable', message: 'the broker did not answer as a broker does' }
  }
}

const errorOf = (json: object): MeshError => fromErrorFrame({ type: 'error', code: 'internal', message: '', ...json })
