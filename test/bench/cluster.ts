// What it costs to cross from one broker to another: two brokers and the sender in processes of their own, on one PostgreSQL and one NATS.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { openBus } from '@claudemesh/drivers'
import { systemClock } from '@claudemesh/protocol'
import { Peer, TestMesh } from '../broker/kit.ts'
import { NatsServer } from '../harness/nats.ts'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { percentile, printRows, type Row } from './table.ts'

const perSecond = 200
const warmUp = 200
const measured = 1000
const body = 'x'.repeat(1000)

/** Offers marks at an even rate and takes the time until each arrives. */
async function meter(offer: (i: number) => void, arrivals: (arrived: (i: number) => void) => void): Promise<number[]> {
  const sent: number[] = []
  const samples: number[] = []
  const total = warmUp + measured
  const done = new Promise<void>((resolve) => {
    arrivals((i) => {
      if (i >= warmUp) samples.push(performance.now() - (sent[i] ?? 0))
      if (samples.length === measured) resolve()
    })
  })
  const begin = performance.now()
  const timer = setInterval(() => {
    const due = Math.min(total, Math.floor(((performance.now() - begin) / 1000) * perSecond))
    while (sent.length < due) {
      sent.push(performance.now())
      offer(sent.length - 1)
    }
    if (due === total) clearInterval(timer)
  }, 1)
  await done
  return samples
}

/** From the sender's socket to the recipient's, durable, 1 KB. */
async function messages(from: Peer, to: Peer): Promise<number[]> {
  const frames = Array.from({ length: warmUp + measured }, () => from.sendFrame([to.key], body))
  const places = new Map(frames.map((frame, i) => [frame['id'], i]))
  return meter(
    (i) => from.wire.send(frames[i] as object),
    (arrived) =>
      to.wire.ws.on('message', (data: Buffer) => {
        const frame = JSON.parse(data.toString()) as { type: string; id: string; messageId: string }
        if (frame.type !== 'push') return
        to.surface(frame.messageId)
        arrived(places.get(frame.id) ?? 0)
      }),
  )
}

async function bare(url: string): Promise<number[]> {
  await using one = await openBus(url)
  await using two = await openBus(url)
  let arrived: (i: number) => void = () => {}
  await two.subscribe('bench', (text) => arrived(Number.parseInt(text, 10)))
  return await meter(
    (i) => one.publish('bench', `${i} ${body}`),
    (take) => (arrived = take),
  )
}

async function server(store: string, bus: string, children: ChildProcess[]): Promise<string> {
  const child = fork(new URL('relay/server.ts', import.meta.url), [store, bus], { execArgv: ['--max-semi-space-size=64'] })
  children.push(child)
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return `ws://127.0.0.1:${port}`
}

/** Latency across two brokers beside that within one and the bus's own. */
export async function clusterBench(): Promise<Row[]> {
  await using postgres = await startPostgres({ durable: true })
  await using nats = await NatsServer.start()
  const children: ChildProcess[] = []
  try {
    const store = await postgresUrl(postgres.url)
    const urls = [await server(store, nats.url, children), await server(store, nats.url, children)] as const
    const mesh = await new TestMesh(urls[0], systemClock).create()
    const there = Object.assign(new TestMesh(urls[1], systemClock), {
      root: mesh.root,
      admin: mesh.admin,
      id: mesh.id,
      adminCert: mesh.adminCert,
      policy: mesh.policy,
    })
    await using alice = await mesh.peer('Alice')
    await using near = await mesh.peer('Near')
    await using far = await there.peer('Far')
    await alice.wire.next((frame) => frame.type === 'peer_update' && JSON.stringify(frame).includes(far.key))
    const bus = await bare(nats.url)
    const local = await messages(alice, near)
    const cross = await messages(alice, far)
    return [0.5, 0.99].map((p): Row => {
      const [value, baseline] = [percentile(cross, p), percentile(local, p) + 2 * percentile(bus, p)]
      const parts = `${percentile(local, p).toFixed(2)} + 2 x ${percentile(bus, p).toFixed(2)}`
      return {
        bench: 'cluster',
        metric: `across two brokers, ${perSecond}/s, p${p * 100} (local + 2 x bus: ${parts})`,
        value,
        unit: 'ms',
        baseline,
        ratio: value / baseline,
        goal: '<= 1 x',
        met: value <= baseline,
      }
    })
  } finally {
    for (const child of children) {
      child.disconnect()
      if (child.exitCode === null) await once(child, 'exit')
    }
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) printRows(await clusterBench(), process.argv.includes('--json'))
