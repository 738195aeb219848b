import { copyFileSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readMigrations } from '@claudemesh/drivers'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const outdir = join(here, 'dist')

rmSync(outdir, { recursive: true, force: true })
const { metafile } = await build({
  entryPoints: { main: join(here, 'src/main.ts'), 'pglite-worker': join(here, '../../packages/drivers/src/store/pglite-worker.ts') },
  outdir,
  bundle: true,
  // One file per command beside what they share: a command loads only its own.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.12',
  minify: true,
  legalComments: 'linked',
  metafile: true,
  // Packages in the older module form ask for Node's modules by require.
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  define: { CLAUDEMESH_MIGRATIONS: JSON.stringify(await readMigrations()) },
})

// The embedded store looks for its parts beside the file it was bundled into.
const require = createRequire(join(here, '../../packages/drivers/package.json'))
const pglite = dirname(require.resolve('@electric-sql/pglite'))
for (const name of readdirSync(pglite).filter((file) => /\.(wasm|data)$/.test(file))) copyFileSync(join(pglite, name), join(outdir, name))

const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0)
process.stdout.write(`${outdir}: ${Object.keys(metafile.outputs).length} files, ${Math.round(bytes / 1024)} KiB of code\n`)
