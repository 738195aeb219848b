import { createBroker, type Broker } from '@claudemesh/broker'
import { openBlob, openBus, openStore, type Migration } from '@claudemesh/drivers'
import type { Clock, Log } from '@claudemesh/protocol'
import type { Config } from './config.ts'
import { giveBackWhenQuiet, thisEngine } from './give-back.ts'
import { inTurn } from './in-turn.ts'

export interface Surroundings {
  readonly clock: Clock
  readonly log: Log
  /** Of the program that serves. */
  readonly version?: string
  /** The schema's steps, when a bundle carries them. */
  readonly migrations?: readonly Migration[]
}

/** Opens the storage and serves; disposing of it drains the connections and closes the storage after them. */
export function serve(config: Config, { clock, log, version, migrations }: Surroundings): Promise<Broker> {
  return inTurn(async (keep) => {
    const store = keep(await openStore(config.storeUrl, migrations ? { migrations } : {}))
    const blob = config.blobUrl === undefined ? {} : { blob: keep(await openBlob(config.blobUrl)) }
    const bus = keep(await openBus(config.busUrl))
    const { port, host, allowCreate, origins, nodeId, rates, proxies, traces } = config
    const tracing = traces && keep((await import('./tracing.ts')).openTracing(traces, { node: nodeId, version }))
    const { eventLoopLag, prometheus } = await import('./metrics.ts')
    const metrics = config.metrics ? prometheus(() => broker.figures(), config.metricsToken) : undefined
    const broker: Broker = keep(
      await createBroker({
        store,
        bus,
        ...blob,
        port,
        host,
        allowCreate,
        clock,
        proxies,
        lag: eventLoopLag(),
        ...(rates === undefined ? {} : { rates }),
        ...(tracing ? { tracer: tracing.tracer } : {}),
        ...(metrics ? { meter: metrics.meter, metrics: metrics.page } : {}),
        log,
        ...(version ? { version } : {}),
        ...(origins ? { origins } : {}),
        ...(nodeId === undefined ? {} : { node: nodeId }),
      }),
    )
    const stop = giveBackWhenQuiet(thisEngine(), clock)
    keep({ [Symbol.asyncDispose]: async () => stop() })
    const { port: bound, url, failed } = broker
    return { port: bound, url, failed, figures: () => broker.figures(), consistencyCheck: () => broker.consistencyCheck() }
  })
}
