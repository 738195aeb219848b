import { limits } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'

test('a reader who took nothing while thousands of volatile messages came still gets the stored one that came after them', async () => {
  await using mesh = await testMesh({ rates: false })
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  // As many as wait in the inbox, and before it.
  const most = limits.queuedPerSession * 3
  for (let sent = 0; sent < most; sent += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => alice.send({ to: 'Bob', message: `v${sent + i}`, volatile: true })))
    await mesh.settle()
  }
  const { id } = await alice.send({ to: 'Bob', message: 'kept' })
  await mesh.settle()
  const shown: string[] = []
  for (let messages = bob.inbox.drain(200); messages.length > 0; messages = bob.inbox.drain(200)) {
    shown.push(...messages.map(({ text }) => text))
    bob.surfaced(messages)
    await mesh.advance(5000)
  }
  expect(seen(bob, 'refused')).toEqual([])
  expect(shown.filter((text) => text === 'kept')).toHaveLength(1)
  await mesh.settle()
  expect(await alice.status(id)).toMatchObject({ delivered: true, recipients: [{ rung: 'surfaced' }] })
})
