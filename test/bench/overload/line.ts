import { Peer, type TestMesh } from '../../broker/kit.ts'
import { masked, Raw } from '../relay/raw.ts'

/** A session of a load generator. */
export interface Line {
  readonly raw: Raw
  readonly peer: Peer
}

/** What became of a send. */
export interface Answer {
  readonly n: number
  readonly code?: string
  readonly retryAfter?: number
}

const digits = 21
const idAt = '{"type":"send","id":"'.length
const ackIdAt = '{"type":"ack","id":"'.length
const pushIdAt = '{"type":"push","messageId":"'.length
const pushNumberAt = pushIdAt + 22 + '","id":"'.length
const letter = { at: 9, ack: 'a'.charCodeAt(0), error: 'e'.charCodeAt(0), push: 'p'.charCodeAt(0), pushNext: 'u'.charCodeAt(0) }

/** Joins at a port of this machine, whatever address the mesh knows. */
export async function join(port: number, mesh: TestMesh, name: string): Promise<Line> {
  const peer = new Peer(mesh, { name })
  const raw = await Raw.dial(port)
  raw.send(masked(JSON.stringify(peer.helloFrame((await raw.next())['nonce'] as string))))
  const answer = await raw.next()
  if (answer['type'] !== 'hello_ack') throw new Error(JSON.stringify(answer))
  return { raw, peer }
}

/** A durable send from one to the other, sealed once; `numbered` makes messages of it. */
export function template(from: Peer, to: Peer): Buffer {
  const { type, id: _, ...rest } = from.sendFrame([to.key], 'x'.repeat(800))
  return masked(JSON.stringify({ type, id: 'A'.repeat(22), ...rest }))
}

/** The message whose id is this number. */
export function numbered(frame: Buffer, n: number): Buffer {
  const copy = Buffer.from(frame)
  copy.write(n.toString(36).padStart(digits, '0'), copy.indexOf('{"type":"send"') + idAt, 'latin1')
  return copy
}

const numberAt = (data: Buffer, at: number) => Number.parseInt(data.toString('latin1', at, at + digits), 36)

/** Hands on what the broker says of each send; refusals that name no send have the number NaN. */
export function hearAnswers(raw: Raw, answered: (answer: Answer) => void): void {
  raw.hear((data, start, end) => {
    const kind = data[start + letter.at]
    if (kind === letter.ack) answered({ n: numberAt(data, start + ackIdAt) })
    else if (kind === letter.error) {
      const { id, ...rest } = JSON.parse(data.toString('utf8', start, end)) as { id?: string; code: string; retryAfter?: number }
      answered({ n: Number.parseInt(id?.slice(0, digits) ?? '', 36), ...rest })
    }
  })
}

/** Surfaces what is pushed, the receipts of one turn together. */
export function surfaceAll(raw: Raw, pushed: (n: number) => void = () => {}): void {
  let unread: string[] = []
  const flush = () => {
    raw.send(masked(`{"type":"receipt","received":[],"surfaced":${JSON.stringify(unread)},"failed":[]}`))
    unread = []
  }
  raw.hear((data, start) => {
    if (data[start + letter.at] !== letter.push || data[start + letter.at + 1] !== letter.pushNext) return
    if (unread.length === 0) setImmediate(flush)
    unread.push(data.toString('latin1', start + pushIdAt, start + pushIdAt + 22))
    pushed(numberAt(data, start + pushNumberAt))
  })
}
