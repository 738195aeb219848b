import { createBroker, type Broker } from '@claudemesh/broker'
import { openBus, openStore, type Migration } from '@claudemesh/drivers'
import type { Clock, Log } from '@claudemesh/protocol'
import type { Config } from './config.ts'

export interface Surroundings {
  readonly clock: Clock
  readonly log: Log
  /** The schema's steps, when a bundle carries them. */
  readonly migrations?: readonly Migration[]
}

/** Opens the store and serves; disposing of it drains the connections and closes the store after them. */
export async function serve(config: Config, { clock, log, migrations }: Surroundings): Promise<Broker> {
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openStore(config.storeUrl, migrations ? { migrations } : {}))
  const bus = stack.use(await openBus('local:'))
  const { port, host, allowCreate, origins } = config
  const broker = stack.use(await createBroker({ store, bus, port, host, allowCreate, clock, log, ...(origins ? { origins } : {}) }))
  const opened = stack.move()
  return { port: broker.port, url: broker.url, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}
