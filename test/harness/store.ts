import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Store } from '@claudemesh/broker/ports'
import { openStore } from '@claudemesh/drivers'
import { afterAll } from 'vitest'
import { freshStore } from './fresh-store.ts'

let opening: Promise<Store> | undefined
let folder: string | undefined

/** The embedded store of this test file, opened at first use and shared by its tests: each has a mesh of its own in it. */
export function testStore(): Promise<Store> {
  opening ??= open()
  return opening
}

async function open(): Promise<Store> {
  folder = mkdtempSync(join(tmpdir(), 'claudemesh-store-'))
  await freshStore(join(folder, 'data'))
  return openStore(`pglite:${join(folder, 'data')}`)
}

afterAll(async () => {
  const store = await opening
  await store?.[Symbol.asyncDispose]()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})
