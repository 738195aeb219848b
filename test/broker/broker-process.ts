import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { endWithParent } from '../harness/leash.ts'

// A broker that a test can kill, also at the moment when its next transaction is committed and nothing has followed from it.
endWithParent()
const store = await openStore(process.argv[2] as string)
const broker = await createBroker({ store })
process.on('message', () => {
  const { db } = store
  const transaction = db.transaction.bind(db)
  db.transaction = async (...work) => {
    await transaction(...work)
    process.kill(process.pid, 'SIGKILL')
    return new Promise(() => {})
  }
  process.send?.('mortal')
})
process.send?.({ port: broker.port })
