import { once } from 'node:events'
import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'

const [{ directory }] = (await once(process, 'message')) as [{ directory: string }]
const store = await openStore(`pglite:${directory}`)
const broker = await createBroker({ store, rates: false })
process.send?.({ url: broker.url })
await once(process, 'disconnect')
await broker[Symbol.asyncDispose]()
await store[Symbol.asyncDispose]()
