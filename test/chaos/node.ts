import { createBroker } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import { endWithParent } from '../harness/leash.ts'

endWithParent()

// A broker in a process of its own, which tells its port and answers `check`: what is inconsistent in it; and `measure`: what it uses.
const [store = '', bus = '', origin = ''] = process.argv.slice(2)
const log = (level: string, event: string, fields?: object) => {
  if (level !== 'debug') process.stderr.write(`${new Date().toISOString()} ${process.pid} ${level} ${event} ${JSON.stringify(fields ?? {})}\n`)
}
const opened = await openStore(store)
const line = bus === '' ? undefined : await openBus(bus)
const broker = await createBroker({
  store: opened,
  log,
  origins: [origin],
  greetings: { total: 20_000, perAddress: 20_000 },
  rates: false,
  ...(line ? { bus: line } : {}),
})

async function end(): Promise<void> {
  await broker[Symbol.asyncDispose]()
  await line?.[Symbol.asyncDispose]()
  await opened[Symbol.asyncDispose]()
  process.exit()
}

function measure() {
  globalThis.gc?.()
  const resources = Object.groupBy(process.getActiveResourcesInfo(), (name) => name)
  const { rss, heapUsed } = process.memoryUsage()
  return { rss, heapUsed, timers: resources['Timeout']?.length ?? 0, sockets: resources['TCPSocketWrap']?.length ?? 0 }
}

process.on('message', (wish) => {
  if (wish === 'measure') process.send?.({ measured: measure() })
  else
    broker.consistencyCheck().then(
      (found) => process.send?.({ found }),
      (error: unknown) => process.send?.({ found: [`the check failed: ${String(error)}`] }),
    )
})
process.once('SIGTERM', () => void end())
process.send?.({ port: broker.port })
