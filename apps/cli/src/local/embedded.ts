import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createBroker, type Broker } from '@claudemesh/broker'
import { inTurn } from '@claudemesh/broker-app'
import { openBlob, openBus, openStore } from '@claudemesh/drivers'
import type { Clock, Log } from '@claudemesh/protocol'
import { Failure } from '../failure.ts'
import { bundledMigrations } from './migrations.ts'

export interface EmbeddedOptions {
  readonly port: number
  /** The folder of the embedded store and, inside it, of the files; empty keeps everything in memory and in a temporary folder. */
  readonly data: string
  readonly clock: Clock
  readonly log?: Log
  readonly version?: string
  /** Whether GET /metrics is answered. */
  readonly metrics?: boolean
  readonly tap?: Parameters<typeof createBroker>[0]['tap']
}

/** A whole broker in this process, on files. Throws `port_taken` or `data_in_use` with the remedy. */
export async function startEmbedded({ port, data, clock, log, version, metrics = false, tap }: EmbeddedOptions): Promise<Broker> {
  if (data !== '') mkdirSync(data, { recursive: true, mode: 0o700 })
  return inTurn(async (keep) => {
    const store = keep(await open(data))
    const blob = keep(await openBlob(data === '' ? 'file:' : `file:${join(data, 'files')}`))
    const bus = keep(await openBus('local:'))
    const { prometheus } = metrics ? await import('@claudemesh/broker-app/metrics') : {}
    const told = prometheus?.(() => broker.figures(), undefined)
    const broker: Broker = keep(
      await listen(port, {
        store,
        blob,
        bus,
        clock,
        ...(log ? { log } : {}),
        ...(version ? { version } : {}),
        ...(told ? { meter: told.meter, metrics: told.page } : {}),
        ...(tap ? { tap } : {}),
      }),
    )
    const { port: bound, url, failed } = broker
    return { port: bound, url, failed, figures: () => broker.figures(), consistencyCheck: () => broker.consistencyCheck() }
  })
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
