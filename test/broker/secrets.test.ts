import { afterAll, expect, test } from 'vitest'
import { createMesh, enrol, Mesh, type Identity } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { configFrom, serve } from '@claudemesh/broker-app'
import { jsonLog } from '@claudemesh/broker-app/logs'
import { parseInviteLink, seedOf, sessionKey, type Random } from '@claudemesh/crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Log } from '@claudemesh/protocol'
import { dial } from './kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'claudemesh-secrets-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Everything random that a client draws is a secret, but for nonces and ids: those it may tell. */
function drawing(): { random: Random; drawn: Uint8Array[] } {
  const drawn: Uint8Array[] = []
  return {
    drawn,
    random: (n) => {
      const bytes = nodeRandom(n)
      if (n === 32 || n === 16) drawn.push(Uint8Array.from(bytes))
      return bytes
    },
  }
}

const forms = (bytes: Uint8Array) => (['base64url', 'base64', 'hex'] as const).map((form) => Buffer.from(bytes).toString(form).replace(/=+$/, ''))

test('a log at debug level holds no key, no link and no word of a conversation', async () => {
  const lines: string[] = []
  const log: Log = jsonLog('debug', { write: (line) => void lines.push(line) })
  const { random, drawn } = drawing()
  const clock = systemClock
  const words = ['canary-message', 'canary-summary', 'canary-value', 'canary-memory', 'canary-query', 'canary-refused']
  {
    const config = configFrom({
      STORE_URL: `pglite:${join(folder, 'data')}`,
      PORT: '0',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'debug',
      BLOB_URL: `file:${join(folder, 'files')}`,
    })
    await using broker = await serve(config, { clock, log })
    const url = `${broker.url}/ws`
    const founder = await createMesh({ url, slug: 'dev-team', name: 'Founder', clock, dial: nodeDial, random })
    const connect = (identity: Identity, name: string) => {
      const key = sessionKey(random(32))
      return Mesh.connect({ url, identity, session: { key, incarnation: 1, id: name }, name, summary: 'canary-summary', clock, dial: nodeDial, random })
    }
    await using alice = await connect(founder, 'Alice')
    const { link } = await alice.invites.create({ max: 2, expiresMs: 3_600_000 })
    words.push(link, link.slice(link.indexOf('#') + 1))
    drawn.push(seedOf(founder.rootKey), seedOf(founder.member), parseInviteLink(link).invite.secretKey.slice(0, 32))
    const member = await enrol({ link, name: 'Bob', clock, dial: nodeDial, random })
    drawn.push(seedOf(member.member))
    const bob = await connect(member, 'Bob')
    while (alice.peers().length === 0) await new Promise<void>((resolve) => alice.on('peer', () => resolve()))
    const arrived = new Promise<void>((resolve) => bob.on('message', () => resolve()))
    await alice.send({ to: 'Bob', message: 'canary-message' })
    await arrived
    await alice.send({ to: 'Bob', message: 'canary-message', volatile: true })
    await alice.state.set('sprint', 'canary-value')
    await bob.state.get('sprint')
    await alice.memory.remember('canary-memory', ['canary-query'])
    await bob.memory.recall('canary-query')
    // What goes wrong is logged most: a connection that is cut, frames that are none, and a store that fails.
    await bob.close()
    const { wire } = await dial(broker.url)
    wire.send('{"type":"hello","displayName":"canary-refused"')
    wire.send({ type: 'hello', displayName: 'canary-refused' })
    await wire.ask({ type: 'send', ciphertext: 'canary-refused' })
    wire.send(Buffer.alloc(64 * 1024, 'canary-refused'))
    await wire.closed
    await fetch(`http://127.0.0.1:${broker.port}/v1/invite/${'A'.repeat(43)}?canary-refused`)
    await alice.close({ bye: true })
  }
  log('error', 'handler_failed', {
    cause: `connect postgres://user:canary-password@db/mesh failed for cm1:host#canary-link with ${Buffer.from(drawn[0] as Uint8Array).toString('base64url')}`,
    text: 'canary-unlisted',
  })
  const text = lines.join('')
  expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(
    expect.arrayContaining(['mesh_created', 'enrolled', 'connection_refused', 'handler_failed']),
  )
  expect(drawn.length).toBeGreaterThan(8)
  for (const secret of [...words, 'canary-', ...drawn.flatMap(forms)]) expect(text).not.toContain(secret)
})

test('a query that fails is logged without what it was given', async () => {
  const { causeOf } = await import('../../packages/broker/src/cause.ts')
  const { openStore } = await import('@claudemesh/drivers')
  const { sql } = await import('drizzle-orm')
  await using store = await openStore('pglite:')
  const failed: unknown = await store.db.execute(sql`select ${'canary-parameter'}::text from nowhere`).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(String(failed)).toContain('canary-parameter')
  expect(causeOf(failed)).toMatch(/^query failed: .*nowhere/)
  expect(causeOf(failed)).not.toContain('canary-parameter')
})
