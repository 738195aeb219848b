import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStore, readMigrations } from '@claudemesh/drivers'

const cache = fileURLToPath(new URL('../../.cache/stores', import.meta.url))

/** Puts a fresh, migrated store into the folder. Making one takes seconds, so it is made once per schema and copied. */
export async function freshStore(folder: string): Promise<void> {
  const schema = createHash('sha256')
    .update(JSON.stringify(await readMigrations()))
    .digest('hex')
  const made = join(cache, schema.slice(0, 16))
  if (!existsSync(made)) await make(made)
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 })
  cpSync(made, folder, { recursive: true })
}

async function make(path: string): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const draft = mkdtempSync(join(cache, 'draft-'))
  try {
    const store = await openStore(`pglite:${join(draft, 'data')}`)
    await store[Symbol.asyncDispose]()
    renameSync(join(draft, 'data'), path)
  } catch (error) {
    // Another test file may have been faster.
    if (!existsSync(path)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
