import { defaultRates, type Rates } from '@claudemesh/broker'
import type { LogLevel } from '@claudemesh/protocol'
import { ConfigError } from './config-error.ts'
import { ratesFrom } from './rates.ts'

/** What the environment says, checked. */
export interface Config {
  readonly storeUrl: string
  /** Where files are kept; absent means that this broker keeps none. */
  readonly blobUrl?: string
  /** `local:` for one broker, `nats://…` for several on one store. */
  readonly busUrl: string
  /** What logs call this broker among others. */
  readonly nodeId?: string
  readonly port: number
  readonly host: string
  /** Addresses clients dial, scheme and host alone; absent means the loopback names. */
  readonly origins?: readonly string[]
  readonly allowCreate: boolean
  /** Lines below it are left out. */
  readonly logLevel: LogLevel
  /** Whether GET /metrics is answered, and what its reader has to bear. */
  readonly metrics: boolean
  readonly metricsToken?: string
  /** Where traces go, over OTLP/HTTP, which share of them, and as whose. */
  readonly traces?: { readonly url: string; readonly share: number; readonly service: string }
  /** What anybody may ask where it differs from the defaults; false for no limit. */
  readonly rates?: Rates | false
  /** How many proxies stand in front and add to X-Forwarded-For. */
  readonly proxies: number
}

/** Reads STORE_URL, BUS_URL, NODE_ID, BLOB_URL or MINIO_ENDPOINT with its keys, PORT, HOST, PUBLIC_URL, ALLOW_CREATE, LOG_LEVEL, METRICS, METRICS_TOKEN, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER_ARG, OTEL_SERVICE_NAME, RATES and TRUSTED_PROXIES. Throws ConfigError. */
export function configFrom(env: Readonly<Record<string, string | undefined>>): Config {
  const origins = publicOrigins(env['PUBLIC_URL'])
  const store = storeUrl(env['STORE_URL'])
  const blob = blobUrl(env)
  const node = nodeId(env['NODE_ID'])
  const rates = ratesFrom(env['RATES'])
  const token = env['METRICS_TOKEN'] || undefined
  const traces = tracesTo(env)
  return {
    storeUrl: store,
    busUrl: busUrl(env['BUS_URL'], store),
    ...(node === undefined ? {} : { nodeId: node }),
    ...(blob === undefined ? {} : { blobUrl: blob }),
    port: port(env['PORT'] ?? '7717'),
    host: env['HOST'] ?? '0.0.0.0',
    ...(origins === undefined ? {} : { origins }),
    allowCreate: flag('ALLOW_CREATE', env['ALLOW_CREATE'] ?? 'true'),
    logLevel: logLevel(env['LOG_LEVEL'] ?? 'info'),
    metrics: flag('METRICS', env['METRICS'] ?? String(token !== undefined)),
    ...(token === undefined ? {} : { metricsToken: token }),
    ...(traces === undefined ? {} : { traces }),
    ...(rates === undefined ? {} : { rates }),
    proxies: proxies(env['TRUSTED_PROXIES'] ?? '0'),
  }
}

/** The settings as they may be shown: what an address holds as user, password and options is left out, and the rates that hold are spelled out. */
export function shown(config: Config): Omit<Config, 'metricsToken'> & { readonly metricsGuarded?: true } {
  const { metricsToken, rates = defaultRates, storeUrl, busUrl, blobUrl, traces, ...others } = config
  return {
    ...others,
    rates,
    storeUrl: bare(storeUrl),
    busUrl: bare(busUrl),
    ...(blobUrl === undefined ? {} : { blobUrl: bare(blobUrl) }),
    ...(traces === undefined ? {} : { traces: { ...traces, url: bare(traces.url) } }),
    ...(metricsToken === undefined ? {} : { metricsGuarded: true }),
  }
}

function bare(url: string): string {
  return url.replace(/^([a-z0-9]+:\/\/)[^]*@/, '$1').replace(/(?<=^[a-z0-9]+:\/\/[^?]*)\?.*$/, '')
}

function storeUrl(text: string | undefined): string {
  if (text === undefined || text === '') throw new ConfigError('STORE_URL is not set: use postgres://user:password@host:5432/name or pglite:DIR')
  if (!/^(postgres(ql)?:\/\/|pglite:.)/.test(text)) throw new ConfigError('STORE_URL must begin with postgres:// or pglite:')
  return text
}

function blobUrl(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const url = env['BLOB_URL'] || undefined
  const minio = minioUrl(env['MINIO_ENDPOINT'], env['MINIO_ACCESS_KEY'], env['MINIO_SECRET_KEY'])
  if (url !== undefined && minio !== undefined) throw new ConfigError('BLOB_URL and MINIO_ENDPOINT are both set: choose one')
  if (url !== undefined && !/^(s3:\/\/|file:.)/.test(url)) throw new ConfigError('BLOB_URL must be s3://KEY:SECRET@host:port or file:DIR')
  return url ?? minio
}

/** The endpoint is `host:port`, spoken to without TLS as inside one network, or begins with https://. */
function minioUrl(endpoint: string | undefined, key: string | undefined, secret: string | undefined): string | undefined {
  if (!endpoint) return undefined
  if (!key || !secret) throw new ConfigError('MINIO_ENDPOINT needs MINIO_ACCESS_KEY and MINIO_SECRET_KEY')
  const parts = /^(?:(https?):\/\/)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?\/?$/.exec(endpoint)
  if (!parts) throw new ConfigError(`MINIO_ENDPOINT must be like minio:9000 or https://s3.example.com; not ${JSON.stringify(endpoint)}`)
  const [, scheme = 'http', host = '', port = ''] = parts
  return `s3://${encodeURIComponent(key)}:${encodeURIComponent(secret)}@${host}${port}?tls=${scheme === 'https'}`
}

function busUrl(text: string | undefined, store: string): string {
  if (text === undefined || text === '' || text === 'local:') return 'local:'
  if (!/^(nats|tls):\/\/./.test(text) || !URL.canParse(text)) throw new ConfigError('BUS_URL must be local: or like nats://host:4222')
  if (store.startsWith('pglite:')) throw new ConfigError('BUS_URL is for several brokers on one PostgreSQL; the embedded store serves one: leave it out')
  return text
}

function nodeId(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) throw new ConfigError(`NODE_ID must be up to 64 letters, digits, - and _; not ${JSON.stringify(text)}`)
  return text
}

function tracesTo(env: Readonly<Record<string, string | undefined>>): Config['traces'] {
  const own = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || undefined
  const base = env['OTEL_EXPORTER_OTLP_ENDPOINT'] || undefined
  const url = own ?? (base === undefined ? undefined : `${base.replace(/\/+$/, '')}/v1/traces`)
  if (url === undefined || env['OTEL_SDK_DISABLED'] === 'true') return undefined
  if (!/^https?:\/\/./.test(url) || !URL.canParse(url)) throw new ConfigError('OTEL_EXPORTER_OTLP_ENDPOINT must be like http://collector:4318')
  const text = env['OTEL_TRACES_SAMPLER_ARG'] || '1'
  const share = Number(text)
  if (!(share >= 0 && share <= 1)) throw new ConfigError(`OTEL_TRACES_SAMPLER_ARG must be the share of traces from 0 to 1, not ${JSON.stringify(text)}`)
  return { url, share, service: env['OTEL_SERVICE_NAME'] || 'claudemesh-broker' }
}

function logLevel(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text
  throw new ConfigError(`LOG_LEVEL must be debug, info, warn or error, not ${JSON.stringify(text)}`)
}

function proxies(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new ConfigError(`TRUSTED_PROXIES must be the number of proxies in front, not ${JSON.stringify(text)}`)
  return Number(text)
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
