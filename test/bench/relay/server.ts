import { createBroker } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import { endWithParent } from '../../harness/leash.ts'
import { ceiling } from './ceiling.ts'

endWithParent()

// The process under measurement: the plain relay, or the broker on the store, and the bus, that are named.
const [store = '', bus] = process.argv.slice(2)
const running =
  store === 'ceiling'
    ? await ceiling()
    : await createBroker({
        store: await openStore(store),
        ...(bus === undefined ? {} : { bus: await openBus(bus) }),
        greetings: { total: 20_000, perAddress: 20_000 },
        rates: false,
      })

process.on('message', () => {
  globalThis.gc?.()
  process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage().rss })
})
process.send?.({ port: running.port })
