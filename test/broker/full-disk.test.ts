import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freshStore } from '../harness/fresh-store.ts'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { testBroker, TestMesh, type Frame } from './kit.ts'

/** A disk so small that a test can fill it, but for some bytes. */
class SmallDisk implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), 'claudemesh-disk-'))
  readonly #ballast = join(this.path, 'ballast')

  constructor(size: string) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'claudemesh', this.path])
    chmodSync(this.path, 0o777)
  }

  async fill(): Promise<void> {
    const { bavail, bsize } = await statfs(this.path)
    writeFileSync(this.#ballast, Buffer.alloc(bavail * bsize))
  }

  makeRoom(): void {
    rmSync(this.#ballast)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', [this.path])
    rmSync(this.path, { recursive: true })
  }
}

const stores = {
  PostgreSQL: async (disk: SmallDisk, stack: AsyncDisposableStack) => postgresUrl(stack.use(await startPostgres({ folder: disk.path })).url),
  'PGlite on disk': async (disk: SmallDisk) => {
    await freshStore(join(disk.path, 'data'))
    return `pglite:${join(disk.path, 'data')}`
  },
}

// Only root may make a small disk; a build machine has to.
const mayMount = process.platform === 'linux' && process.getuid?.() === 0
if (mayMount || process.env['CI']) {
  test.each(Object.entries(stores))('a full disk under %s is named to senders, and what was stored before is there once there is room', async (_, open) => {
    await using disk = new SmallDisk('400m')
    await using stack = new AsyncDisposableStack()
    const broker = stack.use(await testBroker(await open(disk, stack), { rates: false }))
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    await using alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    const { messageId } = await alice.send([bob.key], 'before')
    await bob.drop()
    await disk.fill()
    let answer: Frame = { type: 'none' }
    for (let i = 0; i < 2_000 && answer.type !== 'error'; i++) answer = await alice.send([bob.key], 'x'.repeat(60_000))
    expect(answer).toMatchObject({ type: 'error', code: 'storage_full' })
    expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
    disk.makeRoom()
    const after = await alice.send([bob.key], 'after')
    expect(after).toMatchObject({ type: 'ack', queued: 1 })
    await using back = Object.assign(bob, {})
    await back.connect()
    const ids = new Set<unknown>()
    while (!ids.has(after['messageId'])) ids.add((await back.wire.next('push'))['messageId'])
    expect(ids).toContain(messageId)
  })
}
