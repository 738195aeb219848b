import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.ts'

const outdir = join(dirname(fileURLToPath(import.meta.url)), 'dist')
const { files, bytes } = await bundle(outdir)
process.stdout.write(`${outdir}: ${files} files, ${Math.round(bytes / 1024)} KiB of code\n`)
