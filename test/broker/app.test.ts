import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createBroker, defaultRates } from '@claudemesh/broker'
import { configFrom, shown } from '@claudemesh/broker-app'
import { openBus, openStore, readMigrations } from '@claudemesh/drivers'
import { freePort } from '../harness/free-port.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { TestMesh } from './kit.ts'
import { systemClock } from '@claudemesh/protocol'

const folder = mkdtempSync(join(tmpdir(), 'claudemesh-app-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('settings', () => {
  test('come from the environment', () => {
    const env = {
      STORE_URL: 'postgres://u:p@db/mesh',
      BUS_URL: 'nats://nats:4222',
      NODE_ID: 'east-1',
      PORT: '80',
      HOST: '::',
      PUBLIC_URL: 'https://mesh.example.com, ws://10.0.0.2:7717',
      ALLOW_CREATE: 'no',
    }
    expect(configFrom(env)).toEqual({
      storeUrl: 'postgres://u:p@db/mesh',
      busUrl: 'nats://nats:4222',
      nodeId: 'east-1',
      port: 80,
      host: '::',
      origins: ['wss://mesh.example.com', 'ws://10.0.0.2:7717'],
      allowCreate: false,
      logLevel: 'info',
      metrics: false,
      proxies: 0,
    })
  })

  test.each([
    [{}, /STORE_URL is not set/],
    [{ STORE_URL: 'mysql://x' }, /STORE_URL must begin/],
    [{ STORE_URL: 'postgres://x', BUS_URL: 'redis://x' }, /BUS_URL must be/],
    [{ STORE_URL: 'pglite:x', BUS_URL: 'nats://x:4222' }, /the embedded store serves one/],
    [{ STORE_URL: 'pglite:x', NODE_ID: 'a.b' }, /NODE_ID must be/],
    [{ STORE_URL: 'pglite:x', PORT: '99999' }, /PORT must be/],
    [{ STORE_URL: 'pglite:x', PUBLIC_URL: 'mesh.example.com' }, /PUBLIC_URL must be/],
    [{ STORE_URL: 'pglite:x', PUBLIC_URL: 'wss://mesh.example.com/path' }, /PUBLIC_URL must be/],
    [{ STORE_URL: 'pglite:x', ALLOW_CREATE: 'perhaps' }, /ALLOW_CREATE must be/],
    [{ STORE_URL: 'pglite:x', LOG_LEVEL: 'loud' }, /LOG_LEVEL must be/],
    [{ STORE_URL: 'pglite:x', METRICS: 'some' }, /METRICS must be/],
    [{ STORE_URL: 'pglite:x', OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, /OTEL_EXPORTER_OTLP_ENDPOINT must be like/],
    [{ STORE_URL: 'pglite:x', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_TRACES_SAMPLER_ARG: '2' }, /OTEL_TRACES_SAMPLER_ARG must be/],
    [{ STORE_URL: 'pglite:x', TRUSTED_PROXIES: '-1' }, /TRUSTED_PROXIES must be/],
    [{ STORE_URL: 'pglite:x', RATES: 'none' }, /RATES must be off or like/],
    [{ STORE_URL: 'pglite:x', RATES: '[]' }, /RATES must be off or like/],
    [{ STORE_URL: 'pglite:x', RATES: '{"session":{"parties":{"perSecond":1,"burst":1}}}' }, /no rate session\.parties/],
    [{ STORE_URL: 'pglite:x', RATES: '{"session":{"messages":{"perSecond":0,"burst":1}}}' }, /both above 0/],
    [{ STORE_URL: 'pglite:x', RATES: '{"mesh":{"messages":{"perSecond":1,"burst":1,"per":2}}}' }, /both above 0/],
  ])('%j is refused in one line', (env, line) => expect(() => configFrom(env)).toThrow(line))
})

describe('traces', () => {
  const traces = (env: Record<string, string>) => configFrom({ STORE_URL: 'pglite:x', ...env }).traces
  test('go where OpenTelemetry’s variables say, and nowhere unless they do', () => {
    expect(traces({})).toBeUndefined()
    expect(traces({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' })).toEqual({
      url: 'http://collector:4318/v1/traces',
      share: 1,
      service: 'claudemesh-broker',
    })
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://t.example.com/in', OTEL_TRACES_SAMPLER_ARG: '0.05', OTEL_SERVICE_NAME: 'east' }
    expect(traces({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', ...own })).toEqual({ url: 'https://t.example.com/in', share: 0.05, service: 'east' })
    expect(traces({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'true' })).toBeUndefined()
    const seen = shown(configFrom({ STORE_URL: 'pglite:x', OTEL_EXPORTER_OTLP_ENDPOINT: 'https://u:hunter2@collector:4318' }))
    expect(seen.traces?.url).toBe('https://collector:4318/v1/traces')
  })
})

describe('rates', () => {
  const rates = (RATES: string) => configFrom({ STORE_URL: 'pglite:x', RATES }).rates
  test('are the defaults but for those that are named, or off', () => {
    const slower = { perSecond: 5, burst: 50 }
    expect(rates(JSON.stringify({ session: { messages: slower }, address: { greetings: slower } }))).toEqual({
      ...defaultRates,
      session: { ...defaultRates.session, messages: slower },
      address: { greetings: slower },
    })
    expect(rates('off')).toBe(false)
    expect(rates('')).toBeUndefined()
  })
})

describe('where files go', () => {
  const given = { STORE_URL: 'pglite:x' }
  const minio = { MINIO_ENDPOINT: 'minio:9000', MINIO_ACCESS_KEY: 'claudemesh', MINIO_SECRET_KEY: 'p@ss/w?rd#1' }

  test('is an address, or MinIO’s three settings', () => {
    expect(configFrom(given).blobUrl).toBeUndefined()
    expect(configFrom({ ...given, BLOB_URL: 'file:/var/lib/claudemesh' }).blobUrl).toBe('file:/var/lib/claudemesh')
    expect(configFrom({ ...given, ...minio }).blobUrl).toBe('s3://claudemesh:p%40ss%2Fw%3Frd%231@minio:9000?tls=false')
    expect(configFrom({ ...given, ...minio, MINIO_ENDPOINT: 'https://s3.example.com' }).blobUrl).toMatch(/@s3\.example\.com\?tls=true$/)
  })

  test.each([
    [{ BLOB_URL: 'ftp://key:hunter2@host' }, /^BLOB_URL must be s3:\/\/KEY:SECRET@host:port or file:DIR$/],
    [{ ...minio, BLOB_URL: 'file:x' }, /BLOB_URL and MINIO_ENDPOINT are both set/],
    [{ ...minio, MINIO_SECRET_KEY: '' }, /needs MINIO_ACCESS_KEY and MINIO_SECRET_KEY/],
    [{ ...minio, MINIO_ENDPOINT: 'minio:9000/bucket' }, /MINIO_ENDPOINT must be like/],
    [{ ...minio, MINIO_ENDPOINT: 'user@minio:9000' }, /MINIO_ENDPOINT must be like/],
  ])('%j is refused in one line', (env, line) => expect(() => configFrom({ ...given, ...env })).toThrow(line))

  test.each([
    ['postgres://u:hunter2@db:5432/mesh', 's3://key:hunter2@host:9000?tls=false'],
    ['postgres://u:hunter@2@db:5432/mesh?sslmode=require&password=hunter2', 's3://key:hun%2Fter2@host:9000'],
  ])('is shown without secrets', (store, blob) => {
    const seen = shown(configFrom({ STORE_URL: store, BLOB_URL: blob }))
    expect(seen).toMatchObject({ storeUrl: 'postgres://db:5432/mesh', blobUrl: 's3://host:9000' })
  })
})

describe('the process', () => {
  const start = (env: Record<string, string>, ...flags: string[]) =>
    spawn(process.execPath, [new URL('../../apps/broker/src/main.ts', import.meta.url).pathname, ...flags], { env: { PATH: process.env['PATH'], ...env } })

  test('says what is wrong with its settings and ends', async () => {
    const child = start({})
    let words = ''
    child.stderr.on('data', (text: Buffer) => (words += text.toString()))
    expect(await once(child, 'exit')).toEqual([2, null])
    expect(words).toMatch(/^claudemesh broker: STORE_URL is not set: .*\n$/)
  })

  const checked = async (env: Record<string, string>) => {
    const child = start(env, '--check')
    const words = { out: '', err: '' }
    child.stdout.on('data', (text: Buffer) => (words.out += text.toString()))
    child.stderr.on('data', (text: Buffer) => (words.err += text.toString()))
    const [code] = (await once(child, 'close')) as [number]
    return { code, settings: JSON.parse(words.out) as unknown, lines: words.err.trimEnd().split('\n'), all: words.out + words.err }
  }

  test('says with --check what is set and which service answers, and ends', async () => {
    const files = join(folder, 'checked')
    const seen = await checked({ STORE_URL: inject('postgres'), BLOB_URL: `file:${files}`, METRICS_TOKEN: 'hunter4', RATES: 'off' })
    expect(seen).toMatchObject({ code: 0, lines: ['ok    store', 'ok    blob', 'ok    bus'] })
    expect(seen.settings).toEqual({
      storeUrl: expect.stringMatching(/^postgres:\/\/127\.0\.0\.1:\d+\/postgres$/) as string,
      busUrl: 'local:',
      blobUrl: `file:${files}`,
      port: 7717,
      host: '0.0.0.0',
      allowCreate: true,
      logLevel: 'info',
      metrics: true,
      metricsGuarded: true,
      proxies: 0,
      rates: false,
    })
    expect(seen.all).not.toContain('hunter')
  })

  test('says with --check which service does not answer, and what to do', async () => {
    const closed = `127.0.0.1:${await freePort()}`
    const seen = await checked({
      STORE_URL: `postgres://u:hunter2@${closed}/mesh`,
      BUS_URL: `nats://u:hunter3@${closed}`,
      BLOB_URL: `s3://key:hunter4@${closed}?tls=false`,
    })
    expect(seen.code).toBe(1)
    expect(seen.lines).toEqual([
      expect.stringMatching(/^FAIL {2}store: .+; see that STORE_URL /) as string,
      expect.stringMatching(/^FAIL {2}blob: .+; see that BLOB_URL /) as string,
      expect.stringMatching(/^FAIL {2}bus: .+; see that BUS_URL /) as string,
    ])
    expect(seen.settings).toMatchObject({ storeUrl: `postgres://${closed}/mesh`, busUrl: `nats://${closed}`, blobUrl: `s3://${closed}`, rates: defaultRates })
    expect(seen.all).not.toContain('hunter')
  })

  test('serves, drains on SIGTERM and leaves the folder free', async () => {
    const store = `pglite:${join(folder, 'served')}`
    const child = start({ STORE_URL: store, PORT: '0', HOST: '127.0.0.1' })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { port } = JSON.parse(line.toString().split('\n')[0] as string) as { port: number }
    const mesh = await new TestMesh(`ws://127.0.0.1:${port}`, systemClock).create()
    const peer = await mesh.peer('Alice')
    child.kill('SIGTERM')
    expect((await peer.wire.closed).code).toBe(1012)
    expect(await once(child, 'exit')).toEqual([0, null])
    await (await openStore(store))[Symbol.asyncDispose]()
  })
})

describe('the store', () => {
  test('a data folder is opened by one process at a time', async () => {
    const url = `pglite:${join(folder, 'one')}`
    const first = await openStore(url)
    await expect(openStore(url)).rejects.toThrow(/is open in process \d+; stop it first, or choose another folder/)
    await first[Symbol.asyncDispose]()
    await (await openStore(url))[Symbol.asyncDispose]()
  })

  // Where the first process of a container takes no note of those that end, they stay in the table of processes.
  test.runIf(process.platform === 'linux')('a lock whose process was killed is taken over, though nobody took note of its end', async () => {
    const parent = spawn('sh', ['-c', 'sleep 100 & echo $!; exec sleep 100'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    writeFileSync(join(folder, 'killed.lock'), `${pid} ${stat()[19]}`)
    await expect(openStore(`pglite:${join(folder, 'killed')}`)).rejects.toThrow(`open in process ${pid}`)
    process.kill(pid, 'SIGKILL')
    while (stat()[0] !== 'Z') await nextTurn()
    const store = await openStore(`pglite:${join(folder, 'killed')}`)
    await store[Symbol.asyncDispose]()
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  })

  test('a lock whose process is gone is taken over, and leaves nothing behind', async () => {
    const dead = spawn(process.execPath, ['-e', ''])
    await once(dead, 'exit')
    writeFileSync(join(folder, 'stale.lock'), `${dead.pid} 1`)
    const store = await openStore(`pglite:${join(folder, 'stale')}`)
    await store[Symbol.asyncDispose]()
    expect(readdirSync(folder).filter((name) => name.startsWith('stale.'))).toEqual([])
  })

  test('brokers that start together migrate once', async () => {
    const url = await postgresUrl(inject('postgres'))
    const stores = await Promise.all([openStore(url), openStore(url), openStore(url)])
    await stores[0]?.migrate()
    await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()))
  })

  test('a migration that fails leaves nothing of itself', async () => {
    const url = await postgresUrl(inject('postgres'))
    const broken = [...(await readMigrations()), { name: '9999_broken.sql', statements: ['create table public.half (id text)', 'create nonsense'] }]
    await expect(openStore(url, { migrations: broken })).rejects.toThrow()
    await (await openStore(url))[Symbol.asyncDispose]()
  })

  test.each(['mysql://x', 'postgres', ''])('%j is no store', async (url) => {
    await expect(openStore(url)).rejects.toThrow(/unknown store/)
  })

  test('no bus but the local one and NATS, which must be there', async () => {
    await expect(openBus('redis://x')).rejects.toThrow(/unknown bus/)
    await expect(openBus('nats://127.0.0.1:1')).rejects.toThrow(/127\.0\.0\.1:1 cannot be used: .*check BUS_URL/)
  })
})

test('a broker that takes no new mesh says so', async () => {
  await using store = await openStore('pglite:')
  await using broker = await createBroker({ store, allowCreate: false })
  await expect(new TestMesh(broker.url, systemClock).create()).rejects.toThrow('mesh_creation_closed')
})

test('the tap shows what the broker sees, which is no plaintext', async () => {
  const seen: unknown[] = []
  await using store = await openStore('pglite:')
  await using broker = await createBroker({ store, tap: (frame) => seen.push(frame) })
  const mesh = await new TestMesh(broker.url, systemClock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const sent = alice.sendFrame([bob.key], 'the eagle has landed')
  await alice.wire.ask(sent)
  expect(seen).toEqual([
    {
      senderPubkey: alice.key,
      recipients: [bob.key],
      targetSpec: JSON.stringify(bob.key),
      priority: 'next',
      bytes: (sent['ciphertext'] as string).length,
      ciphertext: (sent['ciphertext'] as string).slice(0, 64),
    },
  ])
  expect(JSON.stringify(seen)).not.toContain('eagle')
  await alice[Symbol.asyncDispose]()
  await bob[Symbol.asyncDispose]()
})
