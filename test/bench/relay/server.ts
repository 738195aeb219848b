import { createBroker, defaultRates, type Broker, type Rates } from '@claudemesh/broker'
import { thisEngine } from '@claudemesh/broker-app/give-back'
import { eventLoopLag, prometheus } from '@claudemesh/broker-app/metrics'
import { openBus, openStore } from '@claudemesh/drivers'
import { endWithParent } from '../../harness/leash.ts'
import { ceiling } from './ceiling.ts'
import type { Memory, Usage } from './servers.ts'

endWithParent()

// The process under measurement: the plain relay, or the broker on the store, and the bus, that are named.
const [store = '', bus] = process.argv.slice(2)

/** Counted as always, but nobody gets there. */
function beyondReach(rates: Rates): Rates {
  return JSON.parse(JSON.stringify(rates), (key, value: unknown) => (key === 'perSecond' || key === 'burst' ? Number(value) * 1e6 : value)) as Rates
}

/** As the program runs it: with its meters and limits. */
async function broker(): Promise<Broker> {
  const { meter, page } = prometheus(() => running.figures(), undefined)
  const running = await createBroker({
    store: await openStore(store),
    ...(bus === undefined ? {} : { bus: await openBus(bus) }),
    greetings: { total: 20_000, perAddress: 20_000 },
    rates: beyondReach(defaultRates),
    meter,
    metrics: page,
    lag: eventLoopLag(),
  })
  return running
}

const { port } = await (store === 'ceiling' ? ceiling() : broker())

const engine = thisEngine()

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpu: (user + system) / 1e6 }
}

/** As the program does it when it is quiet. */
function memory(): Memory {
  const taken = engine.resident()
  engine.giveBack()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { taken, resident: rss, held: heapUsed + external }
}

process.on('message', (question) => process.send?.(question === 'usage' ? usage() : memory()))
process.send?.({ port })
