import { DrizzleQueryError } from 'drizzle-orm/errors'
import { MeshError } from '@claudemesh/protocol'

// PostgreSQL's classes of states: connection, resources, operator's intervention, system; 53100 is a full disk.
const away = /^(08|53|57|58)/
const network = /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|EHOST|ENET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)/
const fullDisk = /No space left on device|disk full/i

/** The named error where the store has no room or does not answer; undefined for any other failure. */
export function storeFailure(error: unknown): MeshError | undefined {
  const cause = error instanceof DrizzleQueryError ? error.cause : error
  const code = codeOf(cause)
  const words = cause instanceof Error ? cause.message : ''
  if (code === '53100' || fullDisk.test(words)) return new MeshError('storage_full', undefined, { cause: error })
  if (away.test(code) || network.test(code)) return new MeshError('storage_unavailable', undefined, { cause: error })
  return undefined
}

function codeOf(error: unknown): string {
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}
