import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import manifest from './package.json' with { type: 'json' }
import { shippedFiles } from './src/launch/plugin.ts'

const folder = join(dirname(fileURLToPath(import.meta.url)), 'plugin')
rmSync(folder, { recursive: true, force: true })
for (const [path, text] of Object.entries(shippedFiles(manifest.version))) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}
