import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import manifest from './package.json' with { type: 'json' }
import { pluginFiles } from './src/launch/plugin.ts'

// The plugin for those who add this repository as a marketplace: the same files as in a launched session, with the installed command.
const folder = join(dirname(fileURLToPath(import.meta.url)), 'plugin')
rmSync(folder, { recursive: true, force: true })
for (const [path, text] of Object.entries(
  pluginFiles({ command: 'claudemesh', args: ['mcp'], version: manifest.version, card: { command: 'claudemesh', args: ['card'] } }),
)) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}
