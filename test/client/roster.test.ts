import { Mesh } from '@claudemesh/client'
import { nodeDial } from '@claudemesh/client/node'
import { limits } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { next } from '../harness/events.ts'
import { newSession, testMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

test('peers see name, role, groups, status and summary of each other', async () => {
  verifies('peers.summary', 'groups.role-free-form', 'wire.list-peers', 'wire.set-summary', 'wire.set-status')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob', { role: 'dev', groups: [{ name: 'frontend', role: 'chief of pixels' }, { name: 'reviewers' }] })

  await bob.setSummary('Implementing auth UI')
  await bob.setStatus('working')
  while (alice.peers()[0]?.status !== 'working') await next(alice, 'peer')

  expect(alice.peers()).toMatchObject([
    {
      name: 'Bob',
      role: 'dev',
      groups: [{ name: 'frontend', role: 'chief of pixels' }, { name: 'reviewers' }],
      status: 'working',
      summary: 'Implementing auth UI',
      connected: true,
      session: bob.me.session,
    },
  ])
})

test('list of one group, with or without @', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await mesh.peer('Bob', { groups: [{ name: 'frontend' }] })
  await mesh.peer('Carol')
  expect(alice.peers({ group: '@Frontend' }).map((peer) => peer.name)).toEqual(['Bob'])
  expect(alice.peers({ group: 'all' }).map((peer) => peer.name)).toEqual(['Bob', 'Carol'])
  expect(alice.peers({ group: 'nobody' })).toEqual([])
  expect(() => alice.peers({ group: 'no spaces' })).toThrow(expect.objectContaining({ code: 'bad_name' }))
})

test('joining again changes the role', async () => {
  verifies('groups.role-change')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob', { groups: [{ name: 'reviewers', role: 'member' }] })
  for (const role of ['lead', 'observer']) {
    await bob.joinGroup('reviewers', role)
    while (alice.peers()[0]?.groups[0]?.role !== role) await next(alice, 'peer')
    expect(bob.me.groups).toEqual([{ name: 'reviewers', role }])
  }
  await bob.joinGroup('reviewers')
  expect(bob.me.groups).toEqual([{ name: 'reviewers' }])
})

test('many changes at once all arrive, the last one standing', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  await Promise.all([...Array.from({ length: 10 }, (_, i) => bob.setSummary(`step ${i}`)), bob.joinGroup('a'), bob.joinGroup('b'), bob.leaveGroup('a')])
  await mesh.settle()
  expect(alice.peers()[0]).toMatchObject({ summary: 'step 9', groups: [{ name: 'b' }] })
})

test('a summary or name that could deceive is refused before it is sent', async () => {
  await using mesh = await testMesh()
  const bob = await mesh.peer('Bob')
  await expect(bob.setSummary(`right \u202e to left`)).rejects.toThrow(expect.objectContaining({ code: 'bad_name' }))
  await expect(bob.setSummary('x'.repeat(281))).rejects.toThrow(expect.objectContaining({ code: 'bad_name' }))
  await expect(bob.joinGroup('two words')).rejects.toThrow(expect.objectContaining({ code: 'bad_name' }))
  expect(bob.me.summary).toBeUndefined()
  await expect(mesh.peer('system')).rejects.toThrow(expect.objectContaining({ code: 'bad_name' }))
  await bob.setSummary('fine')
  expect(bob.me.summary).toBe('fine')
})

test('a peer that leaves is gone from the list, and its attributes with it', async () => {
  verifies('peers.come-and-go', 'peers.attributes-end-with-session')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const identity = await mesh.member('Bob')
  const bob = await mesh.peer('Bob', { identity, role: 'dev', groups: [{ name: 'team' }], summary: 'working' })
  await bob.close({ bye: true })
  expect(await next(alice, 'peer', ({ change }) => change === 'left')).toEqual({ session: bob.me.session, change: 'left' })
  expect(alice.peers()).toEqual([])

  await mesh.peer('Bob', { identity })
  expect(alice.peers()).toMatchObject([{ name: 'Bob', groups: [], status: 'idle' }])
  expect(alice.peers()[0]).not.toHaveProperty('role')
  expect(alice.peers()[0]).not.toHaveProperty('summary')
})

test('a mesh of more peers than fit a page is listed whole', async () => {
  await using mesh = await testMesh()
  const identity = await mesh.member('Many')
  const options = await mesh.options('Many', { identity })
  const peers: Mesh[] = []
  while (peers.length < limits.peersPerPage + 5) {
    const more = Array.from({ length: 15 }, () => Mesh.connect({ ...options, session: newSession(), dial: nodeDial }))
    peers.push(...(await Promise.all(more)))
  }
  const last = await mesh.peer('Last')
  expect(last.peers()).toHaveLength(peers.length)
  await Promise.all(peers.map((peer) => peer.close()))
})
