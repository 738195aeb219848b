import { expect, test } from 'vitest'
import { next, seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

test('a message to a name reaches that peer alone', async () => {
  verifies('groups.direct', 'tools.send-message', 'names.of-senders')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const carol = await mesh.peer('Carol')

  const sent = await alice.send({ to: 'Bob', message: 'can you review?' })
  const message = await next(bob, 'message')

  expect(message).toMatchObject({ id: sent.id, text: 'can you review?', to: 'Bob', priority: 'next', verified: true })
  expect(message.from).toMatchObject({ name: 'Alice', session: alice.me.session, fingerprint: alice.me.fingerprint })
  expect(sent).toMatchObject({ queued: 1, gone: [], recipients: [{ name: 'Bob' }] })
  await mesh.settle()
  expect(seen(carol, 'message')).toEqual([])
})
