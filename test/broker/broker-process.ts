import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { endWithParent } from '../harness/leash.ts'

// A broker that a test can kill.
endWithParent()
const broker = await createBroker({ store: await openStore(process.argv[2] as string) })
process.send?.({ port: broker.port })
