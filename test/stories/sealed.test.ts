import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@claudemesh/drivers'
import { sql } from 'drizzle-orm'
import { describe, expect, inject, test } from 'vitest'
import { rows } from '../../packages/broker/src/sql.ts'
import { fileWorld } from '../client/files-kit.ts'
import { postgresUrl } from '../harness/postgres.ts'

const secrets = {
  message: 'canary-message-2718',
  mail: 'canary-mail-2818',
  attachedName: 'canary-attached-name-2845',
  attachedText: 'canary-attached-text-9045',
  fileName: 'canary-file-name-2353',
  fileTag: 'canary-file-tag-6028',
  fileText: 'canary-file-text-7471',
  stateKey: 'canary-state-key-3526',
  stateValue: 'canary-state-value-6249',
  memory: 'canary-memory-7757',
  memoryTag: 'canary-memory-tag-2470',
}

/** Whether a text stands in a dump: as it is, in hex, or in base64 of either alphabet, wherever in a group of three bytes it begins. */
function shows(dump: string, text: string): boolean {
  const inBase64 = [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.from('\0'.repeat(before) + text).toString('base64')
    // What the neighbours of the text have a part in is left out.
    const own = encoded.replaceAll('=', '').slice(Math.ceil((before * 4) / 3), -2)
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
  return [text, Buffer.from(text).toString('hex'), ...inBase64].some((form) => dump.includes(form))
}

const stores: [string, () => Promise<string>][] = [
  ['PGlite', async () => 'pglite:'],
  ['PostgreSQL', () => postgresUrl(inject('postgres'))],
]

describe.each(stores)('what a broker on %s keeps', (_, url) => {
  test('of messages, mail, files, state and memory is in no table and no object readable', async () => {
    await using store = await openStore(await url())
    await using world = await fileWorld({ store })
    const { mesh, local } = world
    await mesh.member('Carol')
    const alice = await mesh.peer('Alice', { summary: 'on the roadmap-6480' })
    const bob = await mesh.peer('Bob', { groups: [{ name: 'team' }] })
    await bob.close()
    await mesh.settle()

    await using attached = await local.open(world.put(`${secrets.attachedName}.txt`, secrets.attachedText.repeat(5000)))
    await alice.send({ to: 'Bob', message: secrets.message, files: [attached] })
    await alice.send({ to: '@team', message: secrets.message })
    await alice.send({ to: 'Carol', message: secrets.mail, durable: true })
    await using shared = await local.open(world.put(`${secrets.fileName}.txt`, secrets.fileText))
    const { id } = await alice.files.share(shared, { tags: [secrets.fileTag] })
    await alice.state.set(secrets.stateKey, { [secrets.stateValue]: secrets.stateValue })
    await alice.memory.remember(secrets.memory, [secrets.memoryTag])

    const dump = await everyTable(store.db)
    for (const table of ['message', 'delivery', 'file', 'file_audience', 'state', 'memory']) expect(dump.get(table), table).toMatch(/^\[\{/)
    const tables = [...dump.values()].join('\n')
    // The dump would show it: what is the broker's to know stands there, a summary only inside of a signed token.
    for (const known of ['dev-team', 'Carol', id, 'on the roadmap-6480']) expect(shows(tables, known), known).toBe(true)
    const objects = globSync('**/object', { cwd: world.store })
    expect(objects).toHaveLength(2)
    const stored = globSync('**', { cwd: world.store }).join('\n') + objects.map((path) => readFileSync(join(world.store, path), 'latin1')).join('\n')
    for (const [what, secret] of Object.entries(secrets)) {
      expect(shows(tables, secret), `${what} in a table`).toBe(false)
      expect(shows(stored, secret), `${what} in an object`).toBe(false)
    }
  })
})

async function everyTable(db: Parameters<typeof rows>[0]): Promise<Map<string, string>> {
  const tables = await rows<{ name: string }>(db, sql`select tablename as name from pg_tables where schemaname = 'mesh'`)
  const dump = new Map<string, string>()
  for (const { name } of tables) dump.set(name, JSON.stringify(await rows(db, sql`select * from mesh.${sql.identifier(name)}`)))
  return dump
}
