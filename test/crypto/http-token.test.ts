import { ready, signHttp, verifyHttp } from '@claudemesh/crypto'
import { times } from '@claudemesh/protocol'
import { beforeAll, expect, test } from 'vitest'
import { makeWorld, now, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const aud = 'wss://mesh.example.com'
const request = { method: 'PUT', path: '/v1/file/f_x?from=0', size: 9 } as const
const signed = () => signHttp({ ...request, aud, mesh: w.mesh, session: w.alice, ts: now, random: (n) => seed(3, n) })
const verified = (change: object = {}, header = signed()) => verifyHttp(header, { ...request, auds: new Set([aud]), now, ...change })

test('a signed request names its session and its mesh', () => {
  expect(verified()).toMatchObject({ mesh: w.mesh, session: w.alice.publicKey, ts: now })
  expect(verified({ now: now + times.skew })).toMatchObject({ ts: now })
})

test.each([
  ['another method', { method: 'GET' }],
  ['another path', { path: '/v1/file/f_y?from=0' }],
  ['another size', { size: 10 }],
])('signed for %s it is refused', (_, change) => refuses('unauthorized', /for another one/, () => verified(change)))

test('signed for another broker it is refused', () => refuses('bad_audience', /./, () => verified({ auds: new Set(['wss://other.example.com']) })))

test.each([-1, 1])('signed more than five minutes away it is refused', (way) =>
  refuses('clock_skew', /./, () => verified({ now: now + way * (times.skew + 1) })),
)

test.each([
  ['nothing', () => ''],
  ['another scheme', () => signed().replace('CM1', 'Bearer')],
  ['a damaged signature', () => `${signed().slice(0, -3)}AAA`],
])('%s is no signed request', (_, header) => refuses('unauthorized', /not signed by a session/, () => verified({}, header())))
