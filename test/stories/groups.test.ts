import { describe, expect, test } from 'vitest'
import { next } from '../harness/events.ts'
import { testMesh, type TestPeer } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

const texts = (peer: TestPeer) => peer.inbox.drain().map((message) => message.text)
const groupsOf = (peer: TestPeer, name: string) => peer.peers().find((p) => p.name === name)?.groups

describe('groups', () => {
  test('a message to @group reaches its members, not the sender, nobody else, whatever their roles', async () => {
    verifies('groups.multicast', 'groups.sender-excluded', 'groups.patterns-by-convention')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice', { groups: [{ name: 'frontend', role: 'observer' }] })
    const bob = await mesh.peer('Bob', { groups: [{ name: 'frontend', role: 'lead' }] })
    const carol = await mesh.peer('Carol', { groups: [{ name: 'frontend' }, { name: 'ops' }] })
    const dave = await mesh.peer('Dave', { groups: [{ name: 'ops', role: 'lead' }] })

    expect((await alice.send({ to: '@frontend', message: 'from the observer' })).recipients.map((r) => r.name).toSorted()).toEqual(['Bob', 'Carol'])
    await bob.send({ to: '@Frontend', message: 'from the lead' })
    await mesh.settle()
    expect(texts(alice)).toEqual(['from the lead'])
    expect(texts(bob)).toEqual(['from the observer'])
    expect(texts(carol)).toEqual(['from the observer', 'from the lead'])
    expect(texts(dave)).toEqual([])
  })

  test.each(['*', '@all'])('%s reaches everybody but the sender', async (to) => {
    verifies('groups.all', 'groups.broadcast', 'broadcast.sender-excluded')
    await using mesh = await testMesh()
    const [alice, bob, carol] = [await mesh.peer('Alice', { groups: [{ name: 'ops' }] }), await mesh.peer('Bob'), await mesh.peer('Carol')]
    await alice.send({ to, message: 'standup in 5' })
    expect(await next(bob, 'message')).toMatchObject({ text: 'standup in 5', to })
    expect(await next(carol, 'message')).toMatchObject({ text: 'standup in 5', to })
    await mesh.settle()
    expect(texts(alice)).toEqual([])
  })

  test('joining, changing the role and leaving show at the peers and in routing at once', async () => {
    verifies('groups.join-and-leave', 'groups.role-change', 'groups.role-free-form', 'groups.no-history')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice', { groups: [{ name: 'reviewers' }] })
    const bob = await mesh.peer('Bob')
    const carol = await mesh.peer('Carol', { groups: [{ name: 'reviewers' }] })
    await alice.send({ to: '@reviewers', message: 'before' })

    for (const role of ['lead', 'observer', 'Schiedsrichter (Ersatz)']) {
      await bob.joinGroup('@Reviewers', role)
      await mesh.settle()
      expect(groupsOf(alice, 'Bob')).toEqual([{ name: 'reviewers', role }])
    }
    await alice.send({ to: '@reviewers', message: 'during' })
    await next(bob, 'message')
    await bob.leaveGroup('reviewers')
    await mesh.settle()
    expect(groupsOf(alice, 'Bob')).toEqual([])
    await alice.send({ to: '@reviewers', message: 'after' })
    await mesh.settle()
    expect(texts(bob)).toEqual(['during'])
    expect(texts(carol)).toEqual(['before', 'during', 'after'])
  })
})
