import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.ts'
import manifest from './package.json' with { type: 'json' }

const here = dirname(fileURLToPath(import.meta.url))
const destination = resolve(process.argv[2] ?? join(here, 'dist'))

// What npm is told about the package: nothing to resolve and nothing to run at its installation.
const published = {
  name: manifest.name,
  version: manifest.version,
  description: manifest.description,
  license: manifest.license,
  type: manifest.type,
  bin: { claudemesh: 'lib/main.js' },
  engines: manifest.engines,
  files: ['lib'],
}

const stage = mkdtempSync(join(tmpdir(), 'claudemesh-pack-'))
try {
  await bundle(join(stage, 'lib'))
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
  copyFileSync(join(here, 'README.md'), join(stage, 'README.md'))
  copyFileSync(join(here, '../../LICENSE'), join(stage, 'LICENSE'))
  mkdirSync(destination, { recursive: true })
  const answer = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', destination], { cwd: stage, encoding: 'utf8' })
  const [packed] = Object.values(JSON.parse(answer) as Record<string, { filename: string; size: number; unpackedSize: number; entryCount: number }>)
  if (!packed) throw new Error('npm packed nothing')
  const { filename, size, unpackedSize: unpacked, entryCount: files } = packed
  process.stdout.write(`${JSON.stringify({ tarball: join(destination, filename), size, unpacked, files })}\n`)
} finally {
  rmSync(stage, { recursive: true, force: true })
}
