import { expect, inject, test } from 'vitest'
import { createBroker } from '@claudemesh/broker'
import { openBlob, openStore } from '@claudemesh/drivers'
import { signedRequest } from '../../packages/broker/src/tables.ts'
import { authorization, shared } from '../broker/file-kit.ts'
import { TestMesh } from '../broker/kit.ts'
import { Balancer } from '../harness/balancer.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { buses } from './buses.ts'

test('a signed request that one node took is taken by no other of the same address, and by none that comes after', async () => {
  await using stack = new AsyncDisposableStack()
  const clock = new TestClock()
  const url = await postgresUrl(inject('postgres'))
  const [, meet] = buses[0] as (typeof buses)[number]
  const meeting = stack.use(await meet())
  const blob = stack.use(await openBlob('file:'))
  const balancer = stack.use(await Balancer.start())
  const address = `ws://127.0.0.1:${balancer.port}`
  const node = async (name: string) => {
    const [store, bus] = [stack.use(await openStore(url)), stack.use(await meeting.open())]
    return stack.use(await createBroker({ store, bus, blob, clock, node: name, origins: [address] }))
  }
  const [a, b] = [await node('a'), await node('b')]
  balancer.ports = [a.port]
  const mesh = await new TestMesh(address, clock).create()
  await using peer = await mesh.peer('Alice')
  const path = `/v1/file/${await shared(peer)}`
  const get = async (port: number, signed: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: signed } })
    await response.arrayBuffer()
    return response.status
  }
  const signed = authorization(peer, 'GET', path)
  expect(await get(a.port, signed)).toBe(200)
  expect(await get(a.port, signed)).toBe(401)
  expect(await get(b.port, signed)).toBe(401)
  expect(await get(b.port, authorization(peer, 'GET', path))).toBe(200)
  const c = await node('c')
  expect(await get(c.port, signed)).toBe(401)
  // What is remembered no longer is too old to be taken.
  const { db } = stack.use(await openStore(url))
  while ((await db.$count(signedRequest)) > 0) clock.advance(3_600_000)
  expect(await get(c.port, signed)).toBe(401)
})
