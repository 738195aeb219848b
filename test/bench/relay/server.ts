import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { ceiling } from './ceiling.ts'

// The process under measurement: the plain relay, or the broker on the store that is named.
const store = process.argv[2] as string
const running = store === 'ceiling' ? await ceiling() : await createBroker({ store: await openStore(store), greetings: { total: 20_000, perAddress: 20_000 } })

process.on('message', () => {
  globalThis.gc?.()
  process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage().rss })
})
process.on('disconnect', () => process.exit())
process.send?.({ port: running.port })
