import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** The licences of the packages that these bundled files came from, as one text. Throws on a package without one. */
export function licensesOf(inputs: readonly string[]): string {
  const folders = new Set(inputs.flatMap((input) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(resolve(input))?.[0] ?? []))
  return [...folders].map(licenseOf).sort().join('\n')
}

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name: string; version: string; license?: string }
  const files = globSync(['LICEN[SC]E*', 'licen[sc]e*', 'NOTICE*', 'COPYING*'], { cwd: folder })
  if (files.length === 0 && !license) throw new Error(`${name} names no licence; it cannot be bundled`)
  return [`## ${name} ${version} (${license ?? 'see below'})`, ...files.map((file) => readFileSync(join(folder, file), 'utf8').trim()), ''].join('\n\n')
}
