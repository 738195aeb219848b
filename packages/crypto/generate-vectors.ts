// `node packages/crypto/generate-vectors.ts`: writes vectors/cm1.json. Its keys, randomness and clock are fixed, so it writes the same bytes each time;
// a difference means that the protocol changed, and other implementations with it.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFileVectors } from './generate/files.ts'
import { negative } from './generate/negative.ts'
import { positive } from './generate/positive.ts'
import { makeWorld } from './generate/world.ts'
import { ready } from './src/sodium.ts'

/** All vectors, made anew by the production code. */
export async function makeVectors() {
  await ready()
  const world = makeWorld('first')
  const honest = positive(world)
  return { protocol: 'cm1', ...honest, files: makeFileVectors(), negative: negative(world, makeWorld('second'), honest) }
}

if (import.meta.main) await writeFile(join(import.meta.dirname, 'vectors/cm1.json'), `${JSON.stringify(await makeVectors(), null, 1)}\n`)
