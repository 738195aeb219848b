import { connect } from 'node:net'
import { once } from 'node:events'
import { systemClock } from '@claudemesh/protocol'
import { Peer, TestMesh } from '../../broker/kit.ts'
import { nats, redis, type PubSub } from './pubsub.ts'
import { masked, Raw } from './raw.ts'

/** What one load run against a pub/sub server is asked to do. */
export interface PubSubJob {
  readonly port: number
  readonly kind: 'nats' | 'nats-websocket' | 'redis'
  readonly shape: 'pairs' | 'fanout'
  /** Pairs, or recipients. */
  readonly size: number
  readonly depth: number
  readonly seconds: number
}

interface Line {
  send(bytes: Buffer): void
  answered(): Promise<void>
  onMessage(take: () => void): void
}

process.once('message', (job: PubSubJob) => void run(job))

async function run(job: PubSubJob): Promise<void> {
  const pubSub = job.kind === 'redis' ? redis : nats
  const senders = await Promise.all(Array.from({ length: job.shape === 'pairs' ? job.size : 1 }, () => line(job, pubSub)))
  const receivers = await Promise.all(Array.from({ length: job.size }, (_, i) => subscribed(job, pubSub, job.shape === 'pairs' ? `pair${i}` : 'all')))
  const total = await load(job, pubSub, senders, receivers)
  process.send?.({ event: 'end', total })
}

async function subscribed(job: PubSubJob, pubSub: PubSub, subject: string): Promise<Line> {
  const receiver = await line(job, pubSub)
  receiver.send(Buffer.from(pubSub.subscribe(subject)))
  await receiver.answered()
  return receiver
}

async function line({ kind, port }: PubSubJob, pubSub: PubSub): Promise<Line> {
  const waiting: (() => void)[] = []
  let onMessage = () => {}
  let rest: Buffer = Buffer.alloc(0)
  const heard = {
    message: () => onMessage(),
    answer: () => waiting.shift()?.(),
  }
  const hear = (chunk: Buffer) => {
    rest = pubSub.read(rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk, heard)
  }
  const send = await (kind === 'nats-websocket' ? overWebSocket(port, hear) : overTcp(port, hear))
  const answered = () => new Promise<void>((resolve) => void waiting.push(resolve))
  send(Buffer.from(pubSub.greeting))
  await answered()
  return { send, answered, onMessage: (take) => (onMessage = take) }
}

async function overTcp(port: number, hear: (chunk: Buffer) => void): Promise<(bytes: Buffer) => void> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  socket.on('data', hear)
  return perTurn((bytes) => socket.write(bytes))
}

/** What one turn sends leaves as one frame, as NATS' own client does it. */
async function overWebSocket(port: number, hear: (chunk: Buffer) => void): Promise<(bytes: Buffer) => void> {
  const raw = await Raw.dial(port)
  raw.hear((data, start, end) => hear(data.subarray(start, end)))
  return perTurn((bytes) => raw.send(masked(bytes)))
}

function perTurn(write: (bytes: Buffer) => void): (bytes: Buffer) => void {
  let out: Buffer[] = []
  return (bytes) => {
    if (out.length === 0)
      setImmediate(() => {
        const all = out
        out = []
        write(all.length === 1 ? (all[0] as Buffer) : Buffer.concat(all))
      })
    out.push(bytes)
  }
}

/** As many bytes as the broker would push for the same message. */
function payloadOf(job: PubSubJob): Buffer {
  const mesh = new TestMesh('ws://127.0.0.1', systemClock)
  const [from, to] = [new Peer(mesh, { name: 'From' }), new Peer(mesh, { name: 'To' })]
  return Buffer.from(JSON.stringify(from.sendFrame([to.key], 'x'.repeat(800), { shared: job.shape === 'fanout' })))
}

/** Keeps `depth` messages per sender under way, and counts what arrives. */
function load(job: PubSubJob, pubSub: PubSub, senders: readonly Line[], receivers: readonly Line[]): Promise<number> {
  const payload = payloadOf(job)
  let arrived = 0
  let running = true
  for (const [s, sender] of senders.entries()) {
    const frame = pubSub.publish(job.shape === 'pairs' ? `pair${s}` : 'all', payload)
    const mine = job.shape === 'pairs' ? receivers.slice(s, s + 1) : receivers
    let heard = 0
    const onMessage = () => {
      arrived++
      if (++heard % mine.length === 0 && running) sender.send(frame)
    }
    for (const receiver of mine) receiver.onMessage(onMessage)
    for (let i = 0; i < job.depth; i++) sender.send(frame)
  }
  return new Promise((resolve) => {
    setTimeout(() => {
      arrived = 0
      process.send?.({ event: 'begin' })
    }, 1000)
    setTimeout(
      () => {
        running = false
        resolve(arrived)
      },
      1000 + job.seconds * 1000,
    )
  })
}
