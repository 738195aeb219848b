import { readFileSync, writeFileSync } from 'node:fs'
import { contract } from './src/contract.ts'
import { breaks, lockOf, type Lock } from './src/lock.ts'
import { reference } from './src/reference.ts'
import { contractVersion } from './src/version.ts'

const lockFile = new URL('contract.lock.json', import.meta.url)
const lock = lockOf(contract, contractVersion)
const pinned = JSON.parse(readFileSync(lockFile, 'utf8')) as Lock
const broken = breaks(pinned, lock)

if (broken.length > 0 && contractVersion <= pinned.version) {
  throw new Error(`Clients of contract version ${pinned.version} would break; raise contractVersion in src/version.ts:\n  ${broken.join('\n  ')}`)
}
writeFileSync(lockFile, `${JSON.stringify(lock, undefined, 2)}\n`)
writeFileSync(new URL('PROTOCOL.md', import.meta.url), reference(contract, contractVersion))
