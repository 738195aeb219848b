import { readFileSync } from 'node:fs'
import { openBlob } from '@claudemesh/drivers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canStartS3, startS3, type S3Server } from '../harness/s3.ts'
import { bytes, fileWorld, tampered } from './files-kit.ts'

// The job of CI that tests storage has the server; a machine without it tests the disk.
if (canStartS3() || process.env['CI']) {
  let server: S3Server
  beforeAll(async () => {
    server = await startS3()
  }, 120_000)
  afterAll(() => server[Symbol.asyncDispose]())

  test('an upload whose storage dies in the middle goes on when it is back, and every byte arrives', async () => {
    await using blob = await openBlob(server.url)
    await using world = await fileWorld({ blob })
    let killed = false
    const dying = tampered({
      up: async function* (body) {
        let sent = 0
        for await (const piece of body) {
          if (!killed && sent > 6_000_000) {
            killed = true
            await server.kill()
          }
          sent += piece.length
          yield piece
        }
      },
    })
    const refused: string[] = []
    const alice = await world.mesh.peer('Alice', {
      options: {
        transfer: dying,
        log: (_level, event, fields) => {
          if (event !== 'transfer_cut') return
          refused.push(String(fields?.['code']))
          void server.restart().then(() => world.mesh.clock.advance(60_000))
        },
      },
    })
    const bob = await world.mesh.peer('Bob')
    const content = bytes(12_000_000)
    await using source = await world.local.open(world.put('big.bin', content))
    const { id } = await alice.files.share(source)
    expect(refused).toContain('storage_unavailable')
    const path = await world.local.save(bob.files, await bob.files.find(id), 'copy.bin')
    expect(readFileSync(path).equals(content)).toBe(true)
  })
}
