import type { Blob, Bus, Store } from '@claudemesh/broker/ports'
import { readMigrations, type Migration } from './migrations.ts'

export interface StoreOptions {
  /** The schema's steps, when they do not lie where this repository keeps them (a bundle carries its own). */
  readonly migrations?: readonly Migration[]
  /** False opens it as it is. */
  readonly migrate?: boolean
}

/** Opens and migrates `postgres://…`, `pglite:DIR` or `pglite:` (in memory). The vendor is loaded on demand. */
export async function openStore(url: string, options: StoreOptions = {}): Promise<Store> {
  const migrations = async () => options.migrations ?? (await readMigrations())
  const store = await open(url, migrations)
  try {
    if (options.migrate !== false) await store.migrate()
    return store
  } catch (error) {
    await store[Symbol.asyncDispose]()
    throw error
  }
}

async function open(url: string, migrations: () => Promise<readonly Migration[]>): Promise<Store> {
  if (/^postgres(ql)?:\/\//.test(url)) return (await import('./store/postgres.ts')).openPostgres(url, migrations)
  if (url.startsWith('pglite:')) return (await import('./store/pglite.ts')).openPglite(url.slice('pglite:'.length), migrations)
  throw new Error(`unknown store ${JSON.stringify(url.slice(0, 12))}: use postgres://… or pglite:DIR`)
}

/** Opens `local:`, the bus within one process, or `nats://host:port`. The vendor is loaded on demand. */
export async function openBus(url: string): Promise<Bus> {
  if (url === 'local:') return (await import('./bus/local.ts')).localBus()
  if (/^(nats|tls):\/\//.test(url)) return (await nats()).natsBus(url)
  throw new Error(`unknown bus ${JSON.stringify(url.slice(0, 12))}: use local: or nats://host:port`)
}

/** Opens `file:DIR`, `file:` (a temporary folder, gone at the end) or `s3://KEY:SECRET@host:port?tls=false&region=…`. The vendor is loaded on demand. */
export async function openBlob(url: string): Promise<Blob> {
  if (url.startsWith('file:')) return (await import('./blob/disk.ts')).openDisk(url.slice('file:'.length))
  if (url.startsWith('s3://')) return (await s3()).openS3(url)
  throw new Error(`unknown file storage ${JSON.stringify(url.slice(0, 5))}: use s3://… or file:DIR`)
}

// The bundle for npm leaves the vendors' clients out, since few brokers need them.
async function s3() {
  return import('./blob/s3.ts').catch((cause: unknown) => lacks(cause, 'file storage on S3 needs the package minio: npm install -g minio@8'))
}

async function nats() {
  return import('./bus/nats.ts').catch((cause: unknown) =>
    lacks(cause, 'a bus over NATS needs the package @nats-io/transport-node: npm install -g @nats-io/transport-node@3'),
  )
}

function lacks(cause: unknown, need: string): never {
  if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
  throw new Error(`${need} (the broker’s image has it)`, { cause })
}
