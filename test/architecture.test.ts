import { contract } from '@claudemesh/protocol'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

interface Source {
  readonly path: string
  /** `packages/crypto`, `apps/cli`. */
  readonly home: string
  readonly text: string
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[]
}

const importPattern = /^\s*(?:import|export)\s+(type\s)?[^'"=(]*?from\s+'([^']+)'|^\s*(import)\s+'([^']+)'|\b(import)\('([^']+)'\)/gm

function source(path: string): Source {
  const text = readFileSync(path, 'utf8')
  const imports = [...text.matchAll(importPattern)].map((m) => ({ from: m[2] ?? m[4] ?? m[6] ?? '', typeOnly: m[1] !== undefined }))
  return { path, home: path.split('/').slice(0, 2).join('/'), text, imports }
}

const sources = globSync('{packages,apps}/*/{src/**/,}*.ts', { exclude: ['**/node_modules/**'] }).map(source)
const inPackages = sources.filter((s) => s.path.startsWith('packages/') && s.path.includes('/src/'))
const offending = (among: readonly Source[], pattern: RegExp) => among.filter((s) => pattern.test(s.text)).map((s) => s.path)

/** What may be imported, from the ground up; apps may import every package. */
const below: Record<string, readonly string[]> = {
  'packages/protocol': [],
  'packages/crypto': ['protocol'],
  'packages/broker': ['protocol', 'crypto'],
  'packages/client': ['protocol', 'crypto'],
  'packages/drivers': ['protocol', 'broker/ports'],
  'packages/mcp': ['protocol', 'crypto', 'client'],
}

/** The files a door loads, followed through relative imports. */
function loadedBy(door: string, seen = new Set<string>()): Set<string> {
  if (seen.has(door)) return seen
  seen.add(door)
  for (const { from } of source(door).imports.filter((i) => i.from.startsWith('.'))) loadedBy(join(dirname(door), from), seen)
  return seen
}

test('the scan sees the whole house', () => {
  expect(Object.keys(below)).toEqual(expect.arrayContaining([...new Set(inPackages.map((s) => s.home))]))
  for (const home of Object.keys(below)) expect(inPackages.filter((s) => s.home === home && s.imports.length > 0)).not.toEqual([])
})

describe('arrows between packages point down', () => {
  test.each(Object.entries(below))('%s imports only %j', (home, allowed) => {
    const crossing = inPackages
      .filter((s) => s.home === home)
      .flatMap((s) => s.imports.filter((i) => i.from.startsWith('@claudemesh/') || i.from.includes('apps/')).map((i) => `${s.path}: ${i.from}`))
    expect(
      crossing.filter(
        (line) => !allowed.some((name) => line.endsWith(`: @claudemesh/${name}`) || (name === 'client' && line.endsWith('@claudemesh/client/node'))),
      ),
    ).toEqual([])
  })

  test('no relative import leaves its package', () => {
    const leaving = sources.flatMap((s) =>
      s.imports.filter((i) => i.from.startsWith('.') && !join(dirname(s.path), i.from).startsWith(`${s.home}/`)).map((i) => `${s.path}: ${i.from}`),
    )
    expect(leaving).toEqual([])
  })

  test('drivers take types alone from the broker’s ports', () => {
    const loaded = inPackages.filter((s) => s.home === 'packages/drivers' && s.imports.some((i) => i.from.startsWith('@claudemesh/broker') && !i.typeOnly))
    expect(loaded.map((s) => s.path)).toEqual([])
  })

  test('only drivers and apps know a service by name', () => {
    const others = inPackages.filter((s) => s.home !== 'packages/drivers')
    expect(others.filter((s) => s.imports.some((i) => /^(postgres|pg|@electric-sql\/|minio|nats|@nats-io\/)/.test(i.from))).map((s) => s.path)).toEqual([])
  })

  test.each(['protocol', 'crypto', 'client'])('the main door of %s loads in a browser: no node module behind it', (name) => {
    const loaded = [...loadedBy(`packages/${name}/src/index.ts`)].map(source)
    expect(loaded.filter((s) => s.imports.some((i) => i.from.startsWith('node:') || i.from === 'ws') || /\bprocess\./.test(s.text)).map((s) => s.path)).toEqual(
      [],
    )
  })
})

test('what tracing needs is loaded on demand', () => {
  const apps = sources.filter((s) => s.home.startsWith('apps/'))
  expect(offending(apps, / from '(@opentelemetry\/.*|\.\/tracing\.ts|@claudemesh\/broker-app\/tracing)'/)).toEqual(['apps/broker/src/tracing.ts'])
})

describe('inside a package', () => {
  test('no default exports but those of tool settings', () => {
    expect(
      offending(
        sources.filter((s) => !s.path.endsWith('.config.ts')),
        /^export default\b|\bas default\b/m,
      ),
    ).toEqual([])
  })

  test('no star exports', () => expect(offending(sources, /^export \*/m)).toEqual([]))

  test('nothing imports its own door', () => {
    const own = sources.filter((s) => s.imports.some((i) => /^\.{1,2}\/(\.\.\/)*index\.ts$/.test(i.from) || i.from === `@claudemesh/${s.home.split('/')[1]}`))
    expect(own.filter((s) => s.home.startsWith('packages/')).map((s) => s.path)).toEqual([])
  })

  test('no feature imports another', () => {
    const features = inPackages.filter((s) => /^packages\/(broker|client)\/src\/features\//.test(s.path))
    const across = features.flatMap((s) =>
      s.imports.filter((i) => i.from.startsWith('.') && join(dirname(s.path), i.from).includes('/features/')).map((i) => `${s.path}: ${i.from}`),
    )
    expect(across).toEqual([])
  })

  test('nothing below the apps reads the environment, arguments or clock, or writes to the terminal', () => {
    const layer = inPackages.filter((s) => s.path !== 'packages/protocol/src/ambient.ts')
    expect(
      offending(layer, /\bprocess\.(env|argv|stdout|stderr|exit|cwd|on)\b|\bconsole\.\w|\bDate\.now\(|\bnew Date\(\)|(?<![.\w])set(Timeout|Interval)\(/),
    ).toEqual([])
  })
})

describe.each(Object.keys(contract))('the noun %s', (noun) => {
  test('has its handlers in a file of the same name', () => expect(existsSync(`packages/broker/src/features/${noun}.ts`)).toBe(true))

  test('is shown by a test of that name', () => {
    expect(globSync('test/**/*.test.ts').filter((path) => path.includes(noun.replace(/s$/, '')))).not.toEqual([])
  })
})
