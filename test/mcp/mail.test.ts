import { expect, test } from 'vitest'
import { change, next } from '../harness/events.ts'
import { McpClient } from '../harness/mcp.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { newDesk } from '../harness/ports.ts'

const serve = (mesh: TestMesh, peer: TestPeer) => McpClient.start({ mesh: Promise.resolve(peer), clock: mesh.clock })

test('a model mails to a member who is away, and reads what its own member was mailed', async () => {
  await using mesh = await testMesh()
  const identity = await mesh.member('Carol')
  await using alice = await serve(mesh, await mesh.peer('Alice'))
  const refused = await alice.call('send_message', { to: 'Carol', message: 'x' })
  expect(refused).toMatchObject({ isError: true, text: expect.stringContaining('durable: true (--durable) keeps it for the next session of member Carol') })
  const sent = (await alice.call('send_message', { to: 'Carol', message: 'the plans', durable: true })).text
  expect(sent).toContain("stored for 1: Carol's next session (stored is not yet read)")
  const id = /"id": "([^"]+)"/.exec(sent)?.[1]
  expect((await alice.call('message_status', { id })).text).toMatch(/"name": "Carol's next session",\s+"rung": "stored"/)

  const vinnie = await mesh.peer('Vinnie', { identity, options: { mailSeen: newDesk().mailSeen } })
  await using model = await serve(mesh, vinnie)
  while (vinnie.inbox.size === 0) await change(vinnie, 'message')
  expect((await model.call('check_messages')).text).toMatch(/^<peer-message from="Alice" [^>]*to="Carol"[^>]* mail="durable"[^>]*>\nthe plans\n/)
})

test('while the broker is away a send says that it waits here; what never leaves is told', async () => {
  await using mesh = await testMesh()
  const desk = newDesk()
  const alice = await mesh.peer('Alice', { options: desk })
  await mesh.peer('Bob')
  await using model = await serve(mesh, alice)
  await model.call('list_peers')
  alice.line.refuse()
  alice.line.cut()
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  const sending = model.call('send_message', { to: 'Bob', message: 'later' })
  await new Promise(setImmediate)
  while (desk.outbox.list().length === 0) {
    mesh.clock.advance(500)
    await new Promise(setImmediate)
  }
  const { text } = await sending
  expect(text).toContain('not stored yet: waits on this machine for the broker, at most 24 h, for Bob')
  const id = /"id": "([^"]+)"/.exec(text)?.[1]
  expect((await model.call('message_status', { id })).text).toMatch(/waits on this machine since .* until the broker is back/)
  mesh.clock.advance(24 * 3_600_000 + 1000)
  expect((await model.call('message_status', { id })).text).toContain('never left this machine: expired')
  expect((await model.call('check_messages')).text).toBe('[1 message of yours never left this machine, to Bob: expired]')
})
