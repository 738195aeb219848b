import { copyFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readMigrations } from '@claudemesh/drivers'
import { build } from 'esbuild'
import { licensesOf } from './licenses.ts'

const here = dirname(fileURLToPath(import.meta.url))

/** Bundles the CLI with all it needs into `outdir`, which is emptied first; the way in is `main.js`. Answers how many files of code there are and their size. */
export async function bundle(outdir: string): Promise<{ files: number; bytes: number }> {
  rmSync(outdir, { recursive: true, force: true })
  const { metafile } = await build({
    entryPoints: {
      main: join(here, 'src/main.ts'),
      wake: join(here, 'src/wake.ts'),
      'pglite-worker': join(here, '../../packages/drivers/src/store/pglite-worker.ts'),
    },
    outdir,
    bundle: true,
    // One file per command beside what they share: a command loads only its own.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22.12',
    minify: true,
    legalComments: 'linked',
    // Its main file asks for its parts in a way that cannot be bundled.
    alias: { 'jsonc-parser': join(here, 'node_modules/jsonc-parser/lib/esm/main.js') },
    metafile: true,
    // For brokers with S3 or NATS alone: whoever runs one from this package brings them.
    external: ['minio', '@nats-io/transport-node'],
    // Packages in the older module form ask for Node's modules by require.
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    define: {
      CLAUDEMESH_MIGRATIONS: JSON.stringify(await readMigrations()),
      CLAUDEMESH_GUIDE: JSON.stringify(readFileSync(join(here, 'CLAUDEMESH.md'), 'utf8')),
    },
  })
  copyStore(outdir)
  writeFileSync(join(outdir, 'LICENSES.txt'), licensesOf(Object.keys(metafile.inputs)))
  const outputs = Object.values(metafile.outputs)
  return { files: outputs.length, bytes: outputs.reduce((sum, output) => sum + output.bytes, 0) }
}

/** The embedded store looks for its parts beside the file it was bundled into. */
function copyStore(outdir: string): void {
  const require = createRequire(join(here, '../../packages/drivers/package.json'))
  const pglite = dirname(require.resolve('@electric-sql/pglite'))
  for (const name of readdirSync(pglite).filter((file) => /\.(wasm|data)$/.test(file))) copyFileSync(join(pglite, name), join(outdir, name))
}
