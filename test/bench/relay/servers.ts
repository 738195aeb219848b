import { readFileSync } from 'node:fs'
import { NatsServer } from '../../harness/nats.ts'
import { RedisServer } from '../../harness/redis.ts'
import { Child } from './child.ts'
import { onFirstCore, pin } from './cores.ts'

/** What a server has used of its processor, in seconds. */
export interface Usage {
  readonly cpu: number
}

/** What a server has of memory, in bytes. */
export interface Memory {
  /** All that it has of the system, as it stands. */
  readonly taken: number
  /** What it still has once its engine gave back what is free. */
  readonly resident: number
  /** What it uses of that, as far as the engine can tell. */
  readonly held: number
}

/** A server under measurement, in a process of its own. */
export interface Server extends AsyncDisposable {
  readonly port: number
  usage(): Promise<Usage>
}

/** One of them on Node. */
export interface NodeServer extends Server {
  memory(): Promise<Memory>
}

/** The broker on this store, or with 'ceiling' the plain relay; free to use every core unless pinned. */
export async function nodeServer(store: string, pinned: boolean): Promise<NodeServer> {
  const child = new Child(new URL('server.ts', import.meta.url), [store], ['--max-semi-space-size=64'])
  const { port } = await child.next<{ port: number }>()
  if (pinned) pin(child.pid, 0)
  return {
    port,
    usage: () => child.ask<Usage>('usage'),
    memory: () => child.ask<Memory>('memory'),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** NATS on one core, spoken to over TCP or over its WebSocket listener. */
export async function natsServer(over: 'tcp' | 'websocket'): Promise<Server> {
  const server = await NatsServer.start({ before: onFirstCore, webSocket: true })
  return {
    port: over === 'tcp' ? server.port : server.webSocketPort,
    usage: async () => usageOf(server.pid),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Redis, which has one thread for everything. */
export async function redisServer(): Promise<Server> {
  const server = await RedisServer.start(onFirstCore)
  return { port: server.port, usage: async () => usageOf(server.pid), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

// Of every Linux: the unit of the processor times in /proc.
const ticksPerSecond = 100

function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { cpu: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
}
