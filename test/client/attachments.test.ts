import { globSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeTransfer } from '@claudemesh/client/node'
import { MeshError, limits, times } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { Mesh } from '@claudemesh/client'
import { change, next, seen } from '../harness/events.ts'
import type { TestPeer } from '../harness/mesh.ts'
import { newDesk } from '../harness/ports.ts'
import { verifies } from '../harness/verifies.ts'
import { bytes, fileWorld, sha256, tampered, type FileWorld } from './files-kit.ts'

/** Sends one file; gives the id that its recipients see. */
async function sendFile(world: FileWorld, from: TestPeer, to: string | string[], name: string, content: Uint8Array | string): Promise<string> {
  await using source = await world.local.open(world.put(name, content))
  await from.send({ to, message: `here is ${name}`, files: [source] })
  const ids = readdirSync(world.store, { recursive: true }).flatMap((path) => /f_[a-z2-7]{26}(?=\/object$)/.exec(String(path))?.[0] ?? [])
  const id = ids.find((found) => !known.has(found))
  if (id === undefined) throw new Error('no object is stored')
  known.add(id)
  return id
}
const known = new Set<string>()

/** Moves time on until the work is done: a transfer that was cut waits before it goes on. */
async function patiently<T>(world: FileWorld, work: Promise<T>): Promise<T> {
  const under = new Set([work])
  work.then(
    () => under.clear(),
    () => under.clear(),
  )
  while (under.size > 0) await world.mesh.advance(1000)
  return work
}

const saved = async (world: FileWorld, peer: TestPeer, id: string, to: string) =>
  readFileSync(await world.local.save(peer.files, await peer.files.find(id), to))

test('a file travels with a message, to its recipients alone, and arrives as it was', async () => {
  verifies('tools.send-files', 'files.attachment')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const carol = await world.mesh.peer('Carol')
  const content = bytes(200_000)
  const id = await sendFile(world, alice, 'Bob', 'screenshot.png', content)
  const message = await next(bob, 'message')
  expect(message.files).toEqual([{ id, name: 'screenshot.png', size: 200_000, mime: 'image/png' }])
  expect(await saved(world, bob, id, 'saved.png')).toEqual(content)
  await expect(carol.files.find(id)).rejects.toMatchObject({ code: 'not_found' })
})

test('several files and an empty one, to a group, and to whoever joins it meanwhile', async () => {
  verifies('files.several')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob', { groups: [{ name: 'team' }] })
  const carol = await world.mesh.peer('Carol')
  await using one = await world.local.open(world.put('one.txt', 'one'))
  await using empty = await world.local.open(world.put('empty', ''))
  // Carol joins while Alice has not heard of it: the broker names her as missing, and the top-up lets her in.
  alice.line.hold()
  await carol.joinGroup('team')
  const sending = alice.send({ to: '@team', message: 'two files', files: [one, empty] })
  alice.line.release()
  await sending
  for (const peer of [bob, carol]) {
    const { files = [] } = await next(peer, 'message')
    expect(files.map((file) => file.name)).toEqual(['one.txt', 'empty'])
    expect(String(await saved(world, peer, files[0]?.id ?? '', `${peer.me.name}-one.txt`))).toBe('one')
    expect(await saved(world, peer, files[1]?.id ?? '', `${peer.me.name}-empty`)).toHaveLength(0)
  }
})

test('nothing is sent, and nothing stays, when the target is unknown or a file fails', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  await using good = await world.local.open(world.put('good.txt', 'good'))
  await expect(alice.send({ to: 'Nobody', message: 'x', files: [good] })).rejects.toMatchObject({ code: 'unknown_target' })
  const bad = { ...good, name: 'bad.txt', size: 10, bytes: () => good.bytes(), unchanged: async () => true, [Symbol.asyncDispose]: async () => {} }
  await expect(alice.send({ to: 'Bob', message: 'x', files: [good, bad] })).rejects.toMatchObject({
    code: 'file_refused',
    message: expect.stringContaining('shrank'),
  })
  await expect(alice.send({ to: 'Bob', message: 'x', files: Array.from({ length: limits.filesPerMessage + 1 }, () => good) })).rejects.toMatchObject({
    code: 'too_large',
  })
  await world.mesh.settle()
  expect(seen(bob, 'message')).toEqual([])
  expect(globSync('**/{object,uploads/*}', { cwd: world.store })).toEqual([])
})

test('the sender sees who has the file and who has not', async () => {
  verifies('files.status')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  await world.mesh.peer('Carol')
  const id = await sendFile(world, alice, '*', 'a.txt', 'a')
  await next(bob, 'message')
  await saved(world, bob, id, 'saved')
  expect(await alice.files.status(id)).toEqual([
    { session: bob.me.session, name: 'Bob', verified: true, readAt: world.mesh.clock.now() },
    expect.objectContaining({ name: 'Carol', verified: true }),
  ])
  await expect(bob.files.status(id)).rejects.toMatchObject({ code: 'not_found' })
})

test('an attachment goes when all recipients have it, and otherwise after a day', async () => {
  verifies('files.attachment')
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const carol = await world.mesh.peer('Carol')
  const read = await sendFile(world, alice, ['Bob', 'Carol'], 'read.txt', 'read by both')
  const unread = await sendFile(world, alice, ['Bob', 'Carol'], 'unread.txt', 'read by one')
  for (const peer of [bob, carol]) for (const _ of [1, 2]) await next(peer, 'message')
  for (const peer of [bob, carol]) await saved(world, peer, read, `${peer.me.name}-read`)
  await saved(world, bob, unread, 'unread')
  await swept(world, [unread])
  await expect(saved(world, bob, read, 'again')).rejects.toMatchObject({ code: 'not_found' })
  expect(await alice.files.status(read)).toHaveLength(2)
  await world.mesh.advance(times.attachmentLife - 120_000)
  expect(objects(world)).toEqual([unread])
  world.mesh.clock.advance(60_000 + 1)
  await expect(saved(world, carol, unread, 'late')).rejects.toMatchObject({ code: 'not_found' })
})

test('an attachment that its only recipient could not keep stays, for another attempt', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const content = bytes(100_000)
  const [kept, other] = [await sendFile(world, alice, 'Bob', 'kept.bin', content), await sendFile(world, alice, 'Bob', 'other.bin', content)]
  for (const _ of [1, 2]) await next(bob, 'message')
  const part = {
    size: async () => 0,
    read: async function* () {},
    truncate: async () => {},
    append: async () => {},
    // As a disk does that turns out to be full when the last bytes are written.
    sync: () => Promise.reject(new Error('no room left')),
  }
  await expect(bob.files.download(await bob.files.find(kept), part)).rejects.toThrow('no room left')
  await saved(world, bob, other, 'other')
  await swept(world, [kept])
  expect(await saved(world, bob, kept, 'kept')).toEqual(content)
})

const objects = (world: FileWorld) => globSync('**/object', { cwd: world.store }).map((path) => path.split('/').at(-2))

/** Lets the broker sweep until these objects alone are left. */
async function swept(world: FileWorld, left: string[]): Promise<void> {
  await world.mesh.advance(60_000)
  while (objects(world).join() !== left.join()) await world.mesh.settle()
}

test('a cut upload goes on where it was, with the same bytes', async () => {
  verifies('files.upload')
  await using world = await fileWorld()
  const content = bytes(3_000_000)
  const sizes: number[] = []
  let cuts = 2
  const transfer = tampered({
    up: async function* (body) {
      let sent = 0
      for await (const piece of body) {
        if (sent > 1_000_000 && cuts > 0) {
          cuts--
          // As if the line broke: what the broker has by then is safe.
          throw new MeshError('unavailable', 'cut')
        }
        sent += piece.length
        yield piece
      }
    },
  })
  const counting = { ...transfer, put: (...args: Parameters<typeof transfer.put>) => (sizes.push(args[2]), transfer.put(...args)) }
  const alice = await world.mesh.peer('Alice', { options: { transfer: counting } })
  const bob = await world.mesh.peer('Bob')
  const id = await patiently(world, sendFile(world, alice, 'Bob', 'big.bin', content))
  await next(bob, 'message')
  expect(cuts).toBe(0)
  expect(sizes.at(-1)).toBeLessThan(sizes[0] ?? 0)
  expect(sha256(await saved(world, bob, id, 'big'))).toBe(sha256(content))
})

test('a file that changes while its upload is cut starts over under another key', async () => {
  await using world = await fileWorld()
  const path = world.put('log.txt', 'a'.repeat(300_000))
  const urls: string[] = []
  const transfer = tampered({
    up: async function* (body, url) {
      urls.push(url)
      for await (const piece of body) {
        if (urls.length === 1) {
          writeFileSync(path, 'b'.repeat(300_000))
          throw new MeshError('unavailable', 'cut')
        }
        yield piece
      }
    },
  })
  const alice = await world.mesh.peer('Alice', { options: { transfer } })
  await world.mesh.peer('Bob')
  await using source = await world.local.open(path)
  const sending = alice.send({ to: 'Bob', message: 'log', files: [source] })
  // The open file is no longer what it was when it was opened.
  await expect(patiently(world, sending)).rejects.toMatchObject({ code: 'file_refused', message: expect.stringContaining('changes while it is read') })
  expect(new Set(urls.map((url) => /f_[a-z2-7]+/.exec(url)?.[0])).size).toBe(urls.length)
})

test('a cut download goes on where it was, also in the next process', async () => {
  await using world = await fileWorld()
  const content = bytes(3_000_000)
  const asked: (string | undefined)[] = []
  let cut = true
  const transfer = {
    ...nodeTransfer,
    get: async (url: string, headers: Readonly<Record<string, string>>) => {
      asked.push(headers['range'])
      const answer = await nodeTransfer.get(url, headers)
      return cut ? { ...answer, body: first(answer.body, 1_500_000) } : answer
    },
  }
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob', { options: { transfer } })
  const id = await sendFile(world, alice, 'Bob', 'big.bin', content)
  await next(bob, 'message')
  const file = await bob.files.find(id)
  // Each attempt gets further.
  await world.local.save(bob.files, file, 'big')
  expect(asked.length).toBeGreaterThan(2)
  cut = false
  expect(sha256(readFileSync(join(world.cwd, 'big')))).toBe(sha256(content))

  // A process that was killed leaves its part; the next one takes it up.
  const part = join(world.cwd, `again.${id}.part`)
  writeFileSync(part, content.subarray(0, 2_000_000), { mode: 0o600 })
  asked.length = 0
  await world.local.save(bob.files, file, 'again')
  expect(asked).toEqual([undefined, `bytes=${28 + 30 * 65_553}-`])
  expect(sha256(readFileSync(join(world.cwd, 'again')))).toBe(sha256(content))

  writeFileSync(part, bytes(2_000_000), { mode: 0o600 })
  await expect(world.local.save(bob.files, file, 'again', { overwrite: true })).rejects.toMatchObject({ code: 'file_damaged' })
  expect(readdirSync(world.cwd).filter((name) => name.endsWith('.part'))).toEqual([])
  expect(sha256(readFileSync(join(world.cwd, 'again')))).toBe(sha256(content))
})

async function* first(body: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<Uint8Array> {
  let sent = 0
  for await (const piece of body) {
    sent += piece.length
    if (sent > most) throw new MeshError('unavailable', 'cut')
    yield piece
  }
}

const damages: [string, (object: Buffer, other: Buffer) => Uint8Array][] = [
  ['cuts the object short', (object) => object.subarray(0, -20)],
  ['cuts a whole chunk off', (object) => object.subarray(0, 28 + 65_553)],
  ['sends nothing', () => Buffer.alloc(0)],
  ['adds bytes', (object) => Buffer.concat([object, Buffer.alloc(1)])],
  ['flips a bit', (object) => object.with(100_000, (object[100_000] ?? 0) ^ 1)],
  [
    'changes the order of chunks',
    (object) =>
      Buffer.concat([
        object.subarray(0, 28),
        object.subarray(28 + 65_553, 28 + 2 * 65_553),
        object.subarray(28, 28 + 65_553),
        object.subarray(28 + 2 * 65_553),
      ]),
  ],
  ['sends another file', (_object, other) => other],
]

test.each(damages)('a broker that %s leaves nothing behind', async (_what, damage) => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const other = await sendFile(world, alice, 'Bob', 'other.bin', bytes(200_000))
  const id = await sendFile(world, alice, 'Bob', 'big.bin', bytes(200_000))
  for (const _ of [1, 2]) await next(bob, 'message')
  const objectOf = (file: string) => globSync(`**/${file}/object`, { cwd: world.store }).map((path) => join(world.store, path))[0] ?? ''
  writeFileSync(objectOf(id), damage(readFileSync(objectOf(id)), readFileSync(objectOf(other))))
  await expect(saved(world, bob, id, 'saved')).rejects.toMatchObject({ code: 'file_damaged' })
  expect(readdirSync(world.cwd).filter((name) => name.startsWith('saved'))).toEqual([])
})

test('a recipient who knows the key cannot put other bytes in its place for the others', async () => {
  // The sealed message carries the hash of the object, not only its key.
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const id = await sendFile(world, alice, 'Bob', 'vote.txt', 'yes')
  await next(bob, 'message')
  const file = await bob.files.find(id)
  const { sealFile } = await import('@claudemesh/crypto')
  const forged: Uint8Array[] = []
  const no = async function* () {
    yield Buffer.from('no!')
  }
  for await (const piece of sealFile(file, new Uint8Array(24), no())) forged.push(piece)
  const [object = ''] = globSync(`**/${id}/object`, { cwd: world.store })
  writeFileSync(join(world.store, object), Buffer.concat(forged))
  await expect(saved(world, bob, id, 'vote')).rejects.toMatchObject({
    code: 'file_damaged',
    message: expect.stringContaining('not the one its sender described'),
  })
})

test('an object that ends early on the broker’s disk is never taken for the whole', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const id = await sendFile(world, alice, 'Bob', 'big.bin', bytes(200_000))
  await next(bob, 'message')
  const [object = ''] = globSync(`**/${id}/object`, { cwd: world.store })
  truncateSync(join(world.store, object), 100_000)
  await expect(saved(world, bob, id, 'saved')).rejects.toMatchObject({ code: 'file_damaged' })
})

test('hostile names arrive as harmless ones', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  await using source = await world.local.open(world.put('plain', 'x'))
  // Between honest clients names are made harmless twice; this sender does not.
  const attachments = await alice.files.upload([source], { mail: false })
  const hostile = ['../../.ssh/authorized_keys', 'a\u202Egnp.exe', '.bashrc', 'CON', 'C:\\x']
  const shown = bob.files.attached(
    hostile.map((name, i) => ({ ...(attachments[0] as (typeof attachments)[0]), id: `f_${'abcde'.charAt(i).repeat(26)}` as never, name })),
  )
  expect(shown.map((file) => file.name)).toEqual(['authorized_keys', 'agnp.exe', 'bashrc', '_CON', 'x'])
})

test('a later message cannot put another file in the place of one that came before', async () => {
  await using world = await fileWorld()
  const alice = await world.mesh.peer('Alice')
  const bob = await world.mesh.peer('Bob')
  const id = await sendFile(world, alice, 'Bob', 'contract.txt', 'the real one')
  await next(bob, 'message')
  const before = await bob.files.find(id)
  bob.files.attached([{ id: before.id, name: 'other', size: 1, mime: '', key: 'A'.repeat(43), sha256: 'A'.repeat(43) }])
  expect(await bob.files.find(id)).toEqual(before)
})

test('without a place for files the sender hears it at once', async () => {
  await using world = await fileWorld({ blob: undefined as never })
  const alice = await world.mesh.peer('Alice')
  await world.mesh.peer('Bob')
  await using source = await world.local.open(world.put('a.txt', 'a'))
  await expect(patiently(world, alice.send({ to: 'Bob', message: 'x', files: [source] }))).rejects.toMatchObject({ code: 'storage_unavailable' })
})

test('mail for a member who is away brings its file to the member’s next session, days later', async () => {
  verifies('files.attachment')
  await using world = await fileWorld()
  const identity = await world.mesh.member('Carol')
  const alice = await world.mesh.peer('Alice')
  await using source = await world.local.open(world.put('plan.txt', 'the plan'))
  await expect(alice.send({ to: 'Carol', message: 'look', files: [source] })).rejects.toMatchObject({ code: 'unknown_target' })
  expect(globSync('**/object', { cwd: world.store })).toEqual([])
  const sent = await alice.send({ to: 'Carol', message: 'look', durable: true, files: [source] })
  expect(sent).toMatchObject({ mail: [{ name: 'Carol' }] })
  await alice.close({ bye: true })
  world.mesh.clock.advance(3 * times.attachmentLife)
  expect(globSync('**/shared/*/object', { cwd: world.store })).toHaveLength(1)
  const carol = await world.mesh.peer('Carol', { identity, options: { mailSeen: newDesk().mailSeen } })
  while (carol.inbox.size === 0) await change(carol, 'message')
  const [file] = carol.inbox.peek(1)[0]?.files ?? []
  expect(String(await saved(world, carol, file?.id ?? '', 'plan-here.txt'))).toBe('the plan')
})

test('without a broker nothing is attached, and nothing waits on this machine', async () => {
  await using world = await fileWorld()
  await using alone = await Mesh.offline({ ...(await world.mesh.options('Alice')), outbox: newDesk().outbox })
  await using source = await world.local.open(world.put('plan.txt', 'the plan'))
  await expect(alone.send({ to: 'Bob', message: 'look', files: [source] })).rejects.toMatchObject({
    code: 'unavailable',
    message: /do not wait on this machine/,
  })
})
