import type { Store } from '@claudemesh/broker/ports'
import { openStore } from '@claudemesh/drivers'
import { afterAll } from 'vitest'

let opening: Promise<Store> | undefined

/** The embedded store of this test file, opened at first use and shared by its tests: each has a mesh of its own in it. */
export function testStore(): Promise<Store> {
  opening ??= openStore('pglite:')
  return opening
}

afterAll(async () => {
  const store = await opening
  await store?.[Symbol.asyncDispose]()
})
