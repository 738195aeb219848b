import { mkdirSync } from 'node:fs'
import { createBroker, type Broker } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import type { Clock, Log } from '@claudemesh/protocol'
import { Failure } from '../failure.ts'
import { bundledMigrations } from './migrations.ts'

export interface EmbeddedOptions {
  readonly port: number
  /** The folder of the embedded store; empty keeps everything in memory. */
  readonly data: string
  readonly clock: Clock
  readonly log?: Log
  readonly tap?: Parameters<typeof createBroker>[0]['tap']
}

/** A whole broker in this process, on files. Throws `port_taken` or `data_in_use` with the remedy. */
export async function startEmbedded({ port, data, clock, log, tap }: EmbeddedOptions): Promise<Broker> {
  if (data !== '') mkdirSync(data, { recursive: true, mode: 0o700 })
  const store = await open(data)
  const broker = await listen(port, { store, bus: await openBus('local:'), clock, ...(log ? { log } : {}), ...(tap ? { tap } : {}) }).catch(
    async (error: unknown) => {
      await store[Symbol.asyncDispose]()
      throw error
    },
  )
  return {
    port: broker.port,
    url: broker.url,
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}

async function open(data: string) {
  try {
    return await openStore(`pglite:${data}`, bundledMigrations())
  } catch (cause) {
    if (cause instanceof Error && cause.message.includes('data folder')) throw new Failure('data_in_use', cause.message, { cause })
    throw cause
  }
}

async function listen(port: number, options: Parameters<typeof createBroker>[0]): Promise<Broker> {
  try {
    return await createBroker({ ...options, port, host: '127.0.0.1' })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    throw new Failure('port_taken', `port ${port} is taken by another program; choose another one: --port ${port + 1}`, { cause })
  }
}
