// A broker that keeps files on disk, in a process of its own: tells its address, and its memory when asked.
import { createBroker } from '@claudemesh/broker'
import { openBlob, openStore } from '@claudemesh/drivers'
import { endWithParent } from '../../harness/leash.ts'

endWithParent()

const [folder = ''] = process.argv.slice(2)
const store = await openStore('pglite:')
const blob = await openBlob(`file:${folder}`)
const broker = await createBroker({ store, blob })
let peak = 0
setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20)
process.on('message', () => {
  globalThis.gc?.()
  process.send?.({ rss: process.memoryUsage.rss(), peak })
  peak = 0
})
process.send?.({ url: broker.url })
