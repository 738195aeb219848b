/** What the environment says, checked. */
export interface Config {
  readonly storeUrl: string
  readonly port: number
  readonly host: string
  /** Addresses clients dial, scheme and host alone; absent means the loopback names. */
  readonly origins?: readonly string[]
  readonly allowCreate: boolean
}

/** A setting that cannot be used, in one line that names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Reads STORE_URL, PORT, HOST, PUBLIC_URL and ALLOW_CREATE. Throws ConfigError. */
export function configFrom(env: Readonly<Record<string, string | undefined>>): Config {
  const origins = publicOrigins(env['PUBLIC_URL'])
  return {
    storeUrl: storeUrl(env['STORE_URL']),
    port: port(env['PORT'] ?? '7717'),
    host: env['HOST'] ?? '0.0.0.0',
    ...(origins === undefined ? {} : { origins }),
    allowCreate: flag('ALLOW_CREATE', env['ALLOW_CREATE'] ?? 'true'),
  }
}

function storeUrl(text: string | undefined): string {
  if (text === undefined || text === '') throw new ConfigError('STORE_URL is not set: use postgres://user:password@host:5432/name or pglite:DIR')
  if (!/^(postgres(ql)?:\/\/|pglite:.)/.test(text)) throw new ConfigError('STORE_URL must begin with postgres:// or pglite:')
  return text
}

function port(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new ConfigError(`PORT must be a number from 0 to 65535, not ${JSON.stringify(text)}`)
  return value
}

function publicOrigins(text: string | undefined): string[] | undefined {
  if (text === undefined || text.trim() === '') return undefined
  return text.split(',').map((part) => origin(part.trim()))
}

function origin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const scheme = { 'wss:': 'wss:', 'https:': 'wss:', 'ws:': 'ws:', 'http:': 'ws:' }[url?.protocol ?? '']
  if (!url || !scheme || url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new ConfigError(`PUBLIC_URL must be like wss://mesh.example.com, without a path; not ${JSON.stringify(text)}`)
  }
  return `${scheme}//${url.host}`
}

function flag(name: string, text: string): boolean {
  if (['true', '1', 'yes'].includes(text)) return true
  if (['false', '0', 'no'].includes(text)) return false
  throw new ConfigError(`${name} must be true or false, not ${JSON.stringify(text)}`)
}
