import { SharedFiles } from '../../packages/client/src/files/shared.ts'
import type { Kernel } from '../../packages/client/src/kernel.ts'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { limits } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { rows } from '../../packages/broker/src/sql.ts'
import { testStore } from '../harness/store.ts'
import { verifies } from '../harness/verifies.ts'
import { bytes, fileWorld, type FileWorld } from './files-kit.ts'
import type { TestPeer } from '../harness/mesh.ts'

async function share(world: FileWorld, peer: TestPeer, name: string, content: Uint8Array | string, options: Parameters<TestPeer['files']['share']>[1] = {}) {
  await using source = await world.local.open(world.put(name, content))
  return await peer.files.share(source, options)
}

const save = async (world: FileWorld, peer: TestPeer, id: string, to: string) => readFileSync(await world.local.save(peer.files, await peer.files.find(id), to))

test('a shared file is there for every member, also for one that joins later', async () => {
  verifies('tools.files', 'files.shared')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const content = bytes(150_001)
  const { id } = await share(world, alice, 'api.yaml', content, { name: 'Auth v2 Contract', tags: ['api', 'auth'] })
  await alice.close({ bye: true })
  const bob = await world.mesh.peer('Bob')
  const {
    files: [file],
  } = await bob.files.list()
  expect(file).toMatchObject({
    id,
    name: 'Auth v2 Contract',
    size: 150_001,
    mime: 'application/yaml',
    tags: ['api', 'auth'],
    by: { member: { name: 'Alice' } },
  })
  expect(await save(world, bob, id, 'saved')).toEqual(content)
})

test('files are found by words of name and tags, and by who shared them', async () => {
  verifies('files.found')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  await share(world, alice, 'login.md', '1', { tags: ['Auth'] })
  await share(world, alice, 'billing.md', '2', { tags: ['money'] })
  await share(world, bob, 'Auth notes.txt', '3')
  const names = async (query: Parameters<TestPeer['files']['list']>[0]) => (await bob.files.list(query)).files.map((file) => file.name)
  expect(await names({})).toEqual(['Auth notes.txt', 'billing.md', 'login.md'])
  expect(await names({ query: 'auth' })).toEqual(['Auth notes.txt', 'login.md'])
  expect(await names({ query: 'AUTH md' })).toEqual(['login.md'])
  expect(await names({ from: 'alice' })).toEqual(['billing.md', 'login.md'])
  expect(await names({ query: 'auth', from: 'Bob' })).toEqual(['Auth notes.txt'])
  expect(await names({ query: 'nothing of it' })).toEqual([])
  // Tags are the same however they are written, as those of memories are.
  expect(await names({ query: '#AUTH' })).toEqual(['login.md'])
  expect((await bob.files.list({ query: '#auth' })).files[0]?.tags).toEqual(['auth'])
  expect(await names({ query: '#aut' })).toEqual([])
})

test('a list may be had in parts', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  for (const name of ['1.md', '2.md', '3.txt', '4.md']) await share(world, alice, name, name)
  const first = await alice.files.list({ query: 'md', limit: 2 })
  expect(first.files.map((file) => file.name)).toEqual(['4.md', '2.md'])
  const rest = await alice.files.list({ query: 'md', limit: 2, ...(first.next === undefined ? {} : { cursor: first.next }) })
  expect(rest).toEqual({ files: [expect.objectContaining({ name: '1.md' })] })
  expect(await alice.files.list({ cursor: '1' })).toEqual({ files: [] })
})

test('its status names who downloaded it, and its owner or an admin deletes it', async () => {
  verifies('files.status')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const { id } = await share(world, alice, 'a.txt', 'a')
  await save(world, bob, id, 'saved')
  expect(await alice.files.status(id)).toEqual([{ session: bob.me.session, name: 'Bob', verified: true, readAt: world.mesh.clock.now() }])
  await expect(bob.files.delete(id)).rejects.toMatchObject({ code: 'forbidden' })
  await alice.files.delete(id)
  expect(await bob.files.list()).toEqual({ files: [] })
  await expect(bob.files.find(id)).rejects.toMatchObject({ code: 'not_found' })
  expect(globSync('**/object', { cwd: world.store })).toEqual([])
  const { id: other } = await share(world, alice, 'b.txt', 'b')
  const admin = await world.mesh.peer('Root', { identity: world.mesh.founder })
  await admin.files.delete(other)
  expect(await bob.files.list()).toEqual({ files: [] })
})

test('what a removed member shared under the present key is no longer shown; what was shared before stays', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const admin = await world.mesh.peer('Root', { identity: world.mesh.founder })
  await share(world, alice, 'before.txt', 'before')
  await admin.amend({ revoke: { members: [alice.identity.member.publicKey] } })
  expect((await bob.files.list()).files.map((file) => file.name)).toEqual(['before.txt'])
})

test('manifests that were changed, exchanged or left out are not believed', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const ids = [(await share(world, alice, 'one.txt', '1')).id, (await share(world, alice, 'two.txt', '2')).id] as const
  const { db } = await testStore()
  const mesh = world.mesh.founder.mesh
  // The manifest of the one in the place of the other.
  await db.execute(
    sql`update mesh.file set record = (select record from mesh.file where mesh_id = ${mesh} and id = ${ids[0]}) where mesh_id = ${mesh} and id = ${ids[1]}`,
  )
  expect((await bob.files.list()).files.map((file) => file.name)).toEqual(['one.txt'])
  await db.execute(sql`update mesh.file set record = jsonb_set(record, '{c}', '"AAAA"') where mesh_id = ${mesh} and id = ${ids[0]}`)
  const carol = await world.mesh.peer('Carol')
  expect(await carol.files.list()).toEqual({ files: [] })
})

test('a broker whose list has no end is left', async () => {
  const endless = async () => ({ files: [], tokens: [], next: 7 })
  const files = new SharedFiles({ calls: { files: { list: endless } } } as unknown as Kernel)
  await expect(files.newest().next()).rejects.toMatchObject({ code: 'bad_frame', message: 'the list of the files has no end' })
})

test('an id that is none is refused, whatever stands there', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  for (const id of ['', 'f_', '../x', 'f_ABC', `f_${'a'.repeat(26)}`, '__proto__', 'constructor']) {
    await expect(alice.files.find(id)).rejects.toMatchObject({ code: 'not_found' })
    await expect(alice.files.status(id)).rejects.toMatchObject({ code: 'not_found' })
    await expect(alice.files.delete(id)).rejects.toMatchObject({ code: 'not_found' })
  }
})

test('tags have limits', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const attempt = (tags: string[]) => share(world, alice, 'a.txt', 'a', { tags })
  await expect(attempt(Array.from({ length: limits.tagsPerRecord + 1 }, (_, i) => `t${i}`))).rejects.toMatchObject({ code: 'too_large' })
  await expect(attempt(['x'.repeat(limits.tagChars + 1)])).rejects.toMatchObject({ code: 'bad_name' })
  await expect(attempt(['a\u202Eb'])).rejects.toMatchObject({ code: 'bad_name' })
  expect(globSync('**/{object,uploads/*}', { cwd: world.store })).toEqual([])
})

test('a mesh whose policy wants plain files is refused at both ends', async () => {
  await using world = await fileWorld()
  const admin = await world.mesh.peer('Root', { identity: world.mesh.founder })
  await admin.amend({ allow: { files: 'plain' } })
  await expect(share(world, admin, 'a.txt', 'a')).rejects.toMatchObject({ code: 'wrong_form' })
  const announce = admin.calls.files.upload({ fileId: `f_${'a'.repeat(26)}` as never, kind: 'shared', size: 100 })
  await expect(announce).rejects.toMatchObject({ code: 'wrong_form' })
})

test('neither the tables nor the objects show a name, a tag or a word of a file', async () => {
  verifies('files.bucket')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const canaries = ['canary-name', 'canary-tag', 'canary-content', 'canary-shown', 'canary-attached', 'canary-text']
  const [name, tag, content, shown, attached, text] = canaries as [string, string, string, string, string, string]
  const { id } = await share(world, alice, `${name}.txt`, `${content} `.repeat(10_000), { name: shown, tags: [tag] })
  await using source = await world.local.open(world.put(`${attached}.txt`, content))
  await alice.send({ to: 'Bob', message: text, files: [source] })
  await save(world, bob, id, 'saved')
  await bob.files.delete(id).catch(() => {})

  const { db } = await testStore()
  const tables = await rows<{ name: string }>(db, sql`select table_name as name from information_schema.tables where table_schema = 'mesh'`)
  let dump = ''
  for (const { name: table } of tables) dump += JSON.stringify(await db.execute(sql`select * from ${sql.identifier('mesh')}.${sql.identifier(table)}`))
  expect(dump).toContain(id)
  const stored = globSync('**', { cwd: world.store, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name === 'object')
  expect(stored).toHaveLength(2)
  const paths = globSync('**', { cwd: world.store }).join('\n')
  const objects = stored.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')).join('\n')
  const inBase64 = canaries.map((canary) => Buffer.from(canary).toString('base64url').slice(0, -2))
  const file = /^mesh-[a-z2-7]{32}\/(?:shared|ephemeral\/\d{4}-\d\d-\d\d)\/f_[a-z2-7]{26}\/object$/m
  expect(paths).toMatch(file)
  for (const canary of [...canaries, ...inBase64]) for (const place of [dump, paths, objects]) expect(place.includes(canary), canary).toBe(false)
})

test('a file that is replaced on the broker’s disk does not arrive', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const [one, two] = [await share(world, alice, 'one.txt', '1'), await share(world, alice, 'two.txt', '2')]
  const objectOf = (id: string) => join(world.store, globSync(`**/${id}/object`, { cwd: world.store })[0] ?? '')
  writeFileSync(objectOf(one.id), readFileSync(objectOf(two.id)))
  await expect(save(world, bob, one.id, 'saved')).rejects.toMatchObject({ code: 'file_damaged' })
})
