import { expect, test } from 'vitest'
import { Machine } from './machine.ts'

interface Tour {
  url: string
  mesh: string
  invite: string
  messages: {
    kind: string
    sender: { text: string; recipients: string[] }
    broker: { ciphertext: string; bytes: number }
    recipient: { text: string; from: string; verified: boolean }
  }[]
}

test('the tour: three messages as each party sees them, then the invite; a second one leaves the running broker alone', async () => {
  await using machine = new Machine()
  const serving = machine.start(['tour', '--port', '0', '--json'])
  const first = JSON.parse((await serving.printed(/^\{.*\}$/m))[0]) as Tour
  expect(first.messages.map((leg) => [leg.kind, leg.sender.recipients, leg.recipient.from, leg.recipient.verified])).toEqual([
    ['direct', ['Bob'], 'Alice', true],
    ['group', ['Bob'], 'Alice', true],
    ['broadcast', ['Alice'], 'Bob', true],
  ])
  for (const leg of first.messages) {
    expect(leg.recipient.text).toBe(leg.sender.text)
    expect(JSON.stringify(leg.broker)).not.toContain(leg.sender.text)
    expect(leg.broker.bytes).toBeGreaterThan(300)
  }
  expect(first).toMatchObject({ mesh: 'local', invite: expect.stringMatching(/join cm1:127\.0\.0\.1:\d+#/) })

  await using bystander = await machine.session('Bystander')
  const second = await machine.run(['tour', '--exit'])
  expect(second.code).toBe(0)
  expect(second.out).toContain('already runs; its peers hear nothing of this')
  expect(second.out).toContain('broker sees')
  expect(bystander.inbox.size).toBe(0)

  await using other = new Machine()
  expect(await other.json(['join', first.invite.split(' ').at(-1) ?? ''])).toMatchObject({ slug: 'local' })
  expect((await serving.stop('SIGINT')).code).toBe(0)
})

test('--exit ends it with 0', async () => {
  await using machine = new Machine()
  const ran = await machine.run(['tour', '--exit', '--port', '0'])
  expect(ran).toMatchObject({ code: 0, err: '' })
  expect(ran.out).toMatch(/Invite somebody {3}.*join cm1:/)
  expect(await machine.json(['down'])).toEqual({ stopped: false })
}, 60_000)
