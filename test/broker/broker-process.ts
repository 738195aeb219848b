import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'

// A broker that a test can kill.
const broker = await createBroker({ store: await openStore(process.argv[2] as string) })
process.on('disconnect', () => process.exit())
process.send?.({ port: broker.port })
