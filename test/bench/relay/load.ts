import { once } from 'node:events'
import { systemClock, type SessionPubkey } from '@claudemesh/protocol'
import { Peer, TestMesh } from '../../broker/kit.ts'
import { endWithParent } from '../../harness/leash.ts'
import { masked, Raw } from './raw.ts'

/** What one load run is asked to do. */
export interface Job {
  readonly port: number
  readonly plain: boolean
  readonly shape: 'pairs' | 'fanout' | 'idle'
  /** Pairs, recipients, or idle sessions. */
  readonly size: number
  /** Idle sessions that come before those. */
  readonly first?: number
  readonly depth: number
  readonly durable: boolean
  /** Sends per second of all pairs, evenly in time; without it each sender keeps `depth` of them under way. */
  readonly offered?: number
  readonly seconds: number
}

interface Line {
  readonly raw: Raw
  readonly key: SessionPubkey
  readonly peer: Peer
}

const typeAt = '{"type":"'.length
const idAt = '{"type":"send","id":"'.length
const ackIdAt = '{"type":"ack","id":"'.length
const pushIdAt = '{"type":"push","messageId":"'.length
const meshes = 50
// Hellos under way at once.
const together = 16

endWithParent()
process.once('message', (job: Job) => void run(job))

async function run(job: Job): Promise<void> {
  const url = `ws://127.0.0.1:${job.port}`
  const homes = await Promise.all(
    Array.from({ length: job.shape === 'idle' ? meshes : 1 }, async () => {
      const mesh = new TestMesh(url, systemClock)
      return job.plain ? mesh : mesh.create()
    }),
  )
  if (job.shape === 'idle') {
    const early = await joined(job, homes, job.first ?? 0)
    process.send?.({ event: 'begin' })
    await once(process, 'message')
    await joined(job, homes, job.size, early.length)
    process.send?.({ event: 'end', total: 0 })
    return
  }
  const lines = await joined(job, homes, job.shape === 'pairs' ? job.size * 2 : job.size + 1)
  process.send?.({ event: 'end', ...(await load(job, lines, () => process.send?.({ event: 'begin' }))) })
}

/** So many that have joined, and have heard of each other. */
async function joined(job: Job, homes: readonly TestMesh[], count: number, from = 0): Promise<Line[]> {
  const lines: Line[] = []
  while (lines.length < count) {
    const some = Array.from({ length: Math.min(together, count - lines.length) }, (_, i) => from + lines.length + i)
    lines.push(...(await Promise.all(some.map((i) => join(job, homes[i % homes.length] as TestMesh, i)))))
  }
  await settle(lines, job)
  return lines
}

async function join(job: Job, mesh: TestMesh, i: number): Promise<Line> {
  const peer = new Peer(mesh, { name: `Peer ${i}` })
  const raw = await Raw.dial(job.port)
  if (job.plain) raw.send(masked(JSON.stringify({ type: 'iam', key: peer.key })))
  else raw.send(masked(JSON.stringify(peer.helloFrame((await raw.next())['nonce'] as string))))
  const answer = await raw.next()
  if (answer['type'] !== 'hello_ack' && answer['type'] !== 'ok') throw new Error(JSON.stringify(answer))
  return { raw, key: peer.key, peer }
}

/** Waits until everybody has heard of everybody, so that the roster's frames are not part of the figure. */
async function settle(lines: readonly Line[], job: Job): Promise<void> {
  if (job.plain) return
  for (const { raw } of lines) {
    raw.send(masked('{"type":"get_policy","id":"settled"}'))
    await raw.next((frame) => frame['id'] === 'settled')
  }
}

/** What a load came to: acks (pairs) or deliveries (fan-out), and at an offered rate how long each ack took, in milliseconds. */
interface Loaded {
  readonly total: number
  readonly delays: readonly number[]
}

/** Keeps `depth` sends per sender under way for the time, or offers sends at a rate. */
function load(job: Job, lines: readonly Line[], warm: () => void): Promise<Loaded> {
  let acks = 0
  let delays: number[] = []
  let pushes = 0
  let running = true
  const senders = job.shape === 'pairs' ? lines.slice(0, job.size) : lines.slice(0, 1)
  const receivers = lines.slice(senders.length)
  for (const receiver of receivers) {
    let unread: string[] = []
    const flush = () => {
      receiver.raw.send(masked(`{"type":"receipt","received":[],"surfaced":${JSON.stringify(unread)},"failed":[]}`))
      unread = []
    }
    receiver.raw.onFrame = (data, start) => {
      if (data[start + typeAt] !== 0x70 || data[start + typeAt + 1] !== 0x75) return
      pushes++
      if (!job.durable) return
      if (unread.length === 0) setImmediate(flush)
      unread.push(data.toString('latin1', start + pushIdAt, start + pushIdAt + 22))
    }
  }
  const sends = senders.map((sender, s) => {
    const to = job.shape === 'pairs' ? [(receivers[s] as Line).key] : receivers.map((receiver) => receiver.key)
    const {
      type,
      id: _,
      ciphertext,
      ...rest
    } = sender.peer.sendFrame(to, 'x'.repeat(800), { targetSpec: job.shape === 'pairs' ? (to[0] as string) : '*', volatile: !job.durable })
    const template = masked(JSON.stringify({ type, id: 'A'.repeat(22), ...rest, ciphertext }))
    const at = template.indexOf('{"type":"send"') + idAt
    let n = 0
    const dueAt = new Map<string, number>()
    const send = (due = 0) => {
      const frame = Buffer.from(template)
      const id = (++n).toString(36).padStart(12, '0')
      frame.write(id + s.toString(36).padStart(9, '0'), at, 'latin1')
      if (job.offered !== undefined) dueAt.set(id, due)
      sender.raw.send(frame)
    }
    sender.raw.onFrame = (data, start, end) => {
      if (data[start + typeAt] === 0x65) {
        const error = data.toString('utf8', start, end)
        if (!error.includes('"code":"overloaded"')) throw new Error(error)
        // As a client does: what is shed is sent again when the broker said.
        const due = dueAt.get(/"id":"(.{12})/.exec(error)?.[1] ?? '')
        setTimeout(() => running && send(due), 1000)
        return
      }
      if (data[start + typeAt] !== 0x61) return
      acks++
      if (job.offered === undefined) {
        if (running) send()
        return
      }
      const id = data.toString('latin1', start + ackIdAt, start + ackIdAt + 12)
      delays.push(performance.now() - (dueAt.get(id) ?? 0))
      dueAt.delete(id)
    }
    return send
  })
  if (job.offered === undefined) for (const send of sends) for (let i = 0; i < job.depth; i++) send()
  else offer(sends, job.offered, () => running)
  return new Promise((resolve) => {
    // The first second warms both ends up.
    setTimeout(() => {
      acks = 0
      pushes = 0
      delays = []
      warm()
    }, 1000)
    setTimeout(
      () => {
        running = false
        resolve({ total: job.shape === 'pairs' ? acks : pushes, delays })
      },
      1000 + job.seconds * 1000,
    )
  })
}

/** Sends at an even rate, each sender in its turn; told when each was due, so that what a late generator sends together counts as having waited. */
function offer(sends: readonly ((due: number) => void)[], perSecond: number, running: () => boolean): void {
  const began = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    if (!running()) clearInterval(timer)
    for (const now = performance.now(); running(); sent++) {
      const due = began + (sent * 1000) / perSecond
      if (due > now) return
      sends[sent % sends.length]?.(due)
    }
  }, 1)
}
