import { performance } from 'node:perf_hooks'
import { systemClock } from '@claudemesh/protocol'
import { Peer, TestMesh } from '../../broker/kit.ts'
import { endWithParent } from '../../harness/leash.ts'
import { masked, Raw } from '../relay/raw.ts'
import { Ledger, type Seen } from './ledger.ts'

/** What a load process is asked to do: first to come, then to send, again and again. */
export type Wish = { readonly do: 'come'; readonly port: number; readonly pairs: number } | ClosedLoop | OpenLoop

/** So many under way per sender, for the time after a second of warming up. */
export interface ClosedLoop {
  readonly do: 'closed'
  readonly depth: number
  readonly seconds: number
}

/** So many per second, whatever is answered, phase after phase. */
export interface OpenLoop {
  readonly do: 'open'
  readonly phases: readonly { readonly perSecond: number; readonly seconds: number }[]
}

interface Sender {
  readonly raw: Raw
  readonly frame: Buffer
}

const idAt = '{"type":"send","id":"'.length
const ackIdAt = '{"type":"ack","id":"'.length
const pushIdAt = '{"type":"push","messageId":"'.length
const letter = { at: 9, ack: 'a'.charCodeAt(0), error: 'e'.charCodeAt(0), push: 'p'.charCodeAt(0), pushNext: 'u'.charCodeAt(0) }
/** What still has no answer so long after the last send counts as unanswered. */
const patience = 15_000

endWithParent()
const senders: Sender[] = []
let answered: (n: number, code?: string, retryAfter?: number) => void = () => {}
process.on('message', (wish: Wish) => void fulfil(wish).then((result) => process.send?.(result)))

async function fulfil(wish: Wish): Promise<object> {
  if (wish.do === 'open') return open(wish)
  if (wish.do === 'closed') return closed(wish)
  const mesh = await new TestMesh(`ws://127.0.0.1:${wish.port}`, systemClock).create()
  const lines = []
  for (let i = 0; i < 2 * wish.pairs; i++) lines.push(await join(wish.port, mesh, i))
  for (let i = 0; i < wish.pairs; i++) {
    const [from, to] = [lines[2 * i] as Line, lines[2 * i + 1] as Line]
    senders.push({ raw: from.raw, frame: template(from.peer, to.peer) })
    from.raw.hear(hear)
    surfaceAll(to.raw)
  }
  return {}
}

interface Line {
  readonly raw: Raw
  readonly peer: Peer
}

async function join(port: number, mesh: TestMesh, i: number): Promise<Line> {
  const peer = new Peer(mesh, { name: `Peer ${i}` })
  const raw = await Raw.dial(port)
  raw.send(masked(JSON.stringify(peer.helloFrame((await raw.next())['nonce'] as string))))
  const answer = await raw.next()
  if (answer['type'] !== 'hello_ack') throw new Error(JSON.stringify(answer))
  return { raw, peer }
}

function template(from: Peer, to: Peer): Buffer {
  const { type, id: _, ...rest } = from.sendFrame([to.key], 'x'.repeat(800))
  return masked(JSON.stringify({ type, id: 'A'.repeat(22), ...rest }))
}

/** The receipts of one turn leave together. */
function surfaceAll(raw: Raw): void {
  let unread: string[] = []
  const flush = () => {
    raw.send(masked(`{"type":"receipt","received":[],"surfaced":${JSON.stringify(unread)},"failed":[]}`))
    unread = []
  }
  raw.hear((data, start) => {
    if (data[start + letter.at] !== letter.push || data[start + letter.at + 1] !== letter.pushNext) return
    if (unread.length === 0) setImmediate(flush)
    unread.push(data.toString('latin1', start + pushIdAt, start + pushIdAt + 22))
  })
}

let sent = 0

/** Sends the next message; its number is its id. */
function send(): number {
  const { raw, frame } = senders[sent % senders.length] as Sender
  const copy = Buffer.from(frame)
  copy.write(sent.toString(36).padStart(21, '0'), copy.indexOf('{"type":"send"') + idAt, 'latin1')
  raw.send(copy)
  return sent++
}

function hear(data: Buffer, start: number, end: number): void {
  const kind = data[start + letter.at]
  if (kind === letter.ack) answered(Number.parseInt(data.toString('latin1', start + ackIdAt, start + ackIdAt + 21), 36))
  else if (kind === letter.error) {
    const { id, code, retryAfter } = JSON.parse(data.toString('utf8', start, end)) as { id: string; code: string; retryAfter?: number }
    answered(Number.parseInt(id.slice(0, 21), 36), code, retryAfter)
  }
}

function closed({ depth, seconds }: ClosedLoop): Promise<{ perSecond: number }> {
  let acked = 0
  let running = true
  answered = (_, code) => {
    if (code === undefined) acked++
    if (running) send()
  }
  for (let i = 0; i < depth * senders.length; i++) send()
  return new Promise((resolve) => {
    setTimeout(() => (acked = 0), 1000)
    setTimeout(
      () => {
        running = false
        resolve({ perSecond: acked / seconds })
      },
      1000 + seconds * 1000,
    )
  })
}

function open({ phases }: OpenLoop): Promise<{ phases: Seen[] }> {
  const first = sent
  const ledger = new Ledger(phases)
  answered = (n, code, retryAfter) => n >= first && ledger.answered(n - first, performance.now(), code, retryAfter)
  return new Promise((resolve) => {
    ledger.begin(performance.now())
    const timer = setInterval(() => {
      const now = performance.now()
      for (let due = ledger.due(now); due > 0; due--) ledger.sent(send() - first, now)
      if (!ledger.over(now)) return
      clearInterval(timer)
      const end = () => resolve({ phases: ledger.seen() })
      const last = setTimeout(end, patience)
      ledger.whenAnswered(() => {
        clearTimeout(last)
        end()
      })
    }, 1)
  })
}
