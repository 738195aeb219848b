import { afterAll, beforeAll, describe, inject } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { testBroker, TestMesh } from './kit.ts'

export interface World {
  readonly broker: Awaited<ReturnType<typeof testBroker>>
  /** A mesh of one's own: tests that share a broker share nothing else. */
  mesh(): Promise<TestMesh>
}

const stores = [
  ['PGlite', async () => 'pglite:'],
  ['PostgreSQL', () => postgresUrl(inject('postgres'))],
] as const

/** Runs the same tests on both stores, on one broker each. */
export function onEveryStore(tests: (world: () => World) => void): void {
  describe.each(stores)('on %s', (_, open) => {
    let world: World | undefined
    beforeAll(async () => {
      const broker = await testBroker(await open())
      world = { broker, mesh: () => new TestMesh(broker.url, broker.clock).create() }
    })
    afterAll(() => world?.broker[Symbol.asyncDispose]())
    tests(() => {
      if (!world) throw new Error('the broker is not up')
      return world
    })
  })
}
