import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { freshStore } from '../harness/fresh-store.ts'
import { Machine } from './machine.ts'

interface Up {
  url: string
  port: number
  pid: number
  data: string
  mesh: string
}

test('who reads no further than it wants to, as head does, is no failure', async () => {
  const running = machine.start(['--help'])
  running.child.stdout?.destroy()
  const { code, err } = await running.ended
  expect({ code, err }).toEqual({ code: 0, err: '' })
})

/** Resolves when nobody else is there. */
const alone = (mesh: Mesh) =>
  new Promise<void>((resolve) => {
    const look = () => mesh.peers().length === 0 && resolve()
    mesh.on('peer', look)
    look()
  })

let machine: Machine
let broker: Up

beforeAll(async () => {
  machine = await Machine.up()
  broker = await machine.json<Up>(['up'])
}, 60_000)
afterAll(() => machine[Symbol.asyncDispose]())

describe('usage', () => {
  test.each([
    [['bogus'], 'unknown command'],
    [['send', 'Bob'], "missing required argument 'text'"],
    [['leave'], "missing required argument 'slug'"],
    [['create', 'x'], "required option '--broker <url>'"],
    [['create', 'No_Slug', '--broker', 'ws://localhost:1'], 'is no slug'],
    [['create', 'x', '--broker', 'ftp://x'], 'is no broker address'],
    [['up', '--port', '99999'], 'expected a port'],
    [['invite', '--max', '0'], 'above 0'],
    [['invite', '--expires', 'soon'], 'expected a time'],
    [['invite', '--role', 'king'], 'Allowed choices are member, admin'],
    [['send', 'Bob', 'x', '--priority', 'high'], 'Allowed choices are now, next, low'],
    [['send', 'Bob', 'x', '--lines'], '--lines reads stdin'],
    [['call', 'list_peers', '{'], 'not JSON'],
    [['join'], 'which invite?'],
    [['launch', 'Alice'], 'too many arguments'],
    [['broker'], 'STORE_URL'],
    [['recal', 'x'], 'did you mean recall?'],
    [['file', 'steal'], 'see: claudemesh file --help'],
    [['file', 'get'], 'see: claudemesh file get --help'],
    [['trace', 'abc'], 'expected the 22 characters'],
    [['forget', 'abc'], 'expected the 22 characters'],
  ])('%j ends with 2 and says why, in one line or as JSON', async (args, why) => {
    const env = { STORE_URL: undefined }
    const { code, out, err } = await machine.run(args, { env })
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/^claudemesh: .*\n$/)
    expect(err).toContain(why)
    expect(await machine.refusal(args, { env })).toEqual({ exit: 2, code: 'usage', message: expect.stringContaining(why) })
  })

  test('help and version end with 0 on stdout', async () => {
    const help = await machine.run(['--help'])
    expect([help.code, help.err]).toEqual([0, ''])
    expect(help.out).toContain('launch')
    expect(help.out).not.toContain('tour')
    expect(await machine.run(['--version'])).toMatchObject({ code: 0, out: '0.1.0\n' })
  })
})

describe('without what it needs, a command ends with 1, one line and the remedy', () => {
  test.each([
    [['peers', '--mesh', 'nowhere'], 'no_mesh', 'yours: local'],
    [['leave', 'nowhere'], 'no_mesh', 'yours: local'],
    [['send', 'Nobody', 'x'], 'unknown_target', 'Nobody'],
    [['send', '@nobody', 'x'], 'unknown_target', 'nobody'],
    [['call', 'no_such_tool'], 'not_found', 'send_message'],
    [['call', 'send_message', '{"to":"Bob"}'], 'bad_frame', 'message'],
    [['inbox', '--name', 'all'], 'bad_name', 'reserved'],
    [['create', 'local', '--broker', 'ws://127.0.0.1:1'], 'already_joined', 'another name'],
    [['create', 'x', '--broker', 'ws://127.0.0.1:1'], 'unavailable', ''],
  ])('%j', async (args, code, remedy) => {
    const refusal = await machine.refusal(args)
    expect(refusal).toMatchObject({ exit: 1, code })
    expect(refusal.message).toContain(remedy)
    const plain = await machine.run(args)
    expect([plain.code, plain.out]).toEqual([1, ''])
    expect(plain.err).toBe(`claudemesh: ${refusal.message}\n`)
  })
})

test('an id may begin with a dash, and is no option for that', async () => {
  const dashed = `-h${'A'.repeat(20)}`
  for (const args of [
    ['trace', dashed],
    ['forget', dashed, '--mesh', 'local'],
    ['revoke', '-yAbc123'],
  ])
    expect(await machine.refusal(args)).toMatchObject({ exit: 1, code: 'not_found' })
  expect(await machine.refusal(['remove', '--yes', dashed])).toMatchObject({ exit: 1, code: 'unknown_target' })
})

describe('the production broker', () => {
  let env: { STORE_URL: string }
  beforeAll(async () => {
    const data = join(machine.folder, 'production')
    await freshStore(data)
    env = { STORE_URL: `pglite:${data}` }
  })

  test('--check says of the rates only what was changed', async () => {
    const [usual, changed] = [await machine.run(['broker', '--check'], { env }), await machine.run(['broker', '--check'], { env: { ...env, RATES: 'off' } })]
    expect(usual.out).toContain('"rates": "as in the documentation"')
    expect(changed.out).not.toContain('as in the documentation')
    expect(await machine.json(['broker', '--check'], { env })).toMatchObject({ rates: { session: { messages: { perSecond: 200 } } } })
  })

  test('a backup replaces no file, a restore names the one that is missing', async () => {
    const file = join(machine.folder, 'mesh.backup')
    expect(await machine.json(['broker', '--backup', file], { env })).toEqual({ file, rows: 0 })
    expect(await machine.refusal(['broker', '--backup', file], { env })).toMatchObject({
      exit: 1,
      code: 'bad_file',
      message: expect.stringContaining('replaces nothing'),
    })
    const missing = join(machine.folder, 'none')
    expect(await machine.refusal(['broker', '--restore', missing], { env })).toMatchObject({
      code: 'bad_file',
      message: expect.stringContaining(`${missing} is not there`),
    })
  })
})

describe('looking', () => {
  test('up reports the broker that already runs', async () => {
    expect(await machine.json(['up'])).toEqual(broker)
    expect(broker).toMatchObject({ url: `ws://127.0.0.1:${broker.port}`, mesh: 'local', data: join(machine.home, 'data') })
  })

  test('up on other data than those of the broker that runs is refused, not ignored', async () => {
    expect(await machine.json(['up', '--data', broker.data])).toEqual(broker)
    const refusal = await machine.refusal(['up', '--data', machine.folder])
    expect(refusal).toMatchObject({ exit: 1, code: 'data_in_use', message: expect.stringContaining('claudemesh down') })
  })

  test('list names the meshes without any secret', async () => {
    verifies('cli.list')
    const { meshes } = await machine.json<{ meshes: object[] }>(['list'])
    expect(meshes).toMatchObject([{ slug: 'local', role: 'admin', url: `${broker.url}/ws` }])
    const { member } = (JSON.parse(readFileSync(join(machine.home, 'config.json'), 'utf8')) as { meshes: [{ member: string }] }).meshes[0]
    expect(JSON.stringify(meshes)).not.toContain(member)
  })

  test('status says that the broker answers', async () => {
    verifies('cli.status')
    expect(await machine.json(['status'])).toMatchObject({ meshes: [{ slug: 'local', reachable: true }] })
  })

  test('peers lists who is there, and of a group alone', async () => {
    await using bob = await machine.session('Bob', ['frontend'])
    await using carol = await machine.session('Carol')
    const names = async (...args: string[]) => (await machine.json<{ peers: { name: string }[] }>(['peers', ...args])).peers.map((peer) => peer.name)
    expect(await names()).toEqual([bob.me.name, carol.me.name])
    expect(await names('--group', '@frontend')).toEqual(['Bob'])
  })
})

describe('talking', () => {
  test('send reaches a peer and waits for the rung asked for', async () => {
    await using bob = await machine.session('Bob')
    const ran = await machine.run(['send', '--json', '--name', 'Dora', '--priority', 'now', '--wait', 'received', 'Bob', '--', '-- it works'])
    const sent = JSON.parse(ran.out) as { id: string }
    expect(sent).toMatchObject({ rung: 'received', queued: 1, gone: [], recipients: [{ name: 'Bob' }] })
    expect(bob.inbox.drain()).toMatchObject([{ id: sent.id, text: '-- it works', priority: 'now', from: { name: 'Dora' } }])
  })

  test('send waits for proof that it was seen; trace shows each step and why it goes no further', async () => {
    await using bob = await machine.session('Bob')
    bob.on('message', (message) => message.text === 'see me' && bob.surfaced([message]))
    const seen = await machine.json<{ id: string; rung: string }>(['send', '--wait', 'surfaced', 'Bob', 'see me'])
    expect(seen.rung).toBe('surfaced')
    const waiting = await machine.json<{ id: string }>(['send', '--wait', 'received', 'Bob', 'not yet'])
    const trace = (id: string) => machine.json<{ recipients: { name: string; steps: { rung: string }[]; stopped?: string }[] }>(['trace', id])
    const [done] = (await trace(seen.id)).recipients
    expect(done?.steps.map((step) => step.rung)).toEqual(['stored', 'received', expect.stringContaining('surfaced')])
    expect(done?.stopped).toBeUndefined()
    await bob.setStatus('waiting')
    const [open] = (await trace(waiting.id)).recipients
    expect(open).toMatchObject({ name: 'Bob', steps: [{ rung: 'stored' }, { rung: 'received' }] })
    expect(open?.stopped).toMatch(/^received, not yet seen by its reader; waiting for \d+ s: a dialog is open/)
    expect((await machine.run(['peers'])).out).toMatch(/Bob .*waiting for \d+ s/)
    expect(await machine.run(['trace', 'A'.repeat(22)])).toMatchObject({ code: 1 })
  })

  test('send - takes the whole of stdin as one message, --lines each line', async () => {
    await using bob = await machine.session('Bob')
    await machine.run(['send', 'Bob', '-'], { input: 'one\ntwo\n' })
    const lines = await machine.run(['send', 'Bob', '-', '--lines', '--json', '--wait', 'received'], { input: 'three\n\nfour' })
    expect(lines.out.trim().split('\n')).toHaveLength(2)
    expect(bob.inbox.drain().map((message) => message.text)).toEqual(['one\ntwo', 'three', 'four'])
  })

  test('inbox is a peer with name and groups: it prints what comes as JSON lines, and goes with Ctrl-C', async () => {
    await using bob = await machine.session('Bob')
    const inbox = machine.start(['inbox', '--follow', '--json', '--name', 'Shell', '--groups', 'frontend:lead,backend'])
    await inbox.printed(/listening in local as Shell/)
    await machine.run(['send', '@frontend', 'first', '--name', 'Dora'])
    await machine.run(['send', 'Shell', 'second', '--name', 'Dora'])
    await inbox.printed(/second/)
    const ran = await inbox.stop('SIGINT')
    expect(ran.code).toBe(0)
    expect(
      ran.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object),
    ).toMatchObject([
      { text: 'first', to: '@frontend', verified: true, from: { name: 'Dora' } },
      { text: 'second', to: 'Shell' },
    ])
    await alone(bob)
  })

  test('inbox says which files came with a message; several names get it, with commas between them', async () => {
    await using bob = await machine.session('Bob')
    const inbox = machine.start(['inbox', '--name', 'Shell'])
    await inbox.printed(/listening/)
    writeFileSync(join(machine.project, 'plan.txt'), 'the plan')
    await machine.run(['send', 'Bob,Shell', 'have a look', '--file', 'plan.txt', '--name', 'Dora'])
    expect((await inbox.ended).out).toMatch(/\n {2}have a look\n {2}file plan\.txt, 8 bytes: f_[a-z2-7]{26}\n$/)
    expect(bob.inbox.drain()).toMatchObject([{ text: 'have a look', files: [{ name: 'plan.txt' }] }])
  })

  test('what a pipe no longer takes was not shown: mail is there for the next reader', async () => {
    const member = (await machine.json<{ meshes: [{ name: string }] }>(['list'])).meshes[0].name
    const inbox = machine.start(['inbox', '--follow', '--json'])
    await inbox.printed(/listening/)
    await machine.run(['send', '--name', 'Dora', member, 'taken', '--wait', 'surfaced'])
    inbox.child.stdout?.destroy()
    const sent = await machine.json<{ id: string }>(['send', '--name', 'Dora', member, 'not taken'])
    expect((await inbox.ended).code).toBe(0)
    expect(await machine.json(['peers'])).toMatchObject({ peers: [] })
    const { recipients } = await machine.json<{ recipients: { steps: { rung: string }[] }[] }>(['trace', sent.id])
    expect(recipients[0]?.steps.map(({ rung }) => rung).join()).not.toContain('surfaced')
  })

  test('inbox without --follow ends after the first messages; text of others cannot steer the terminal', async () => {
    const inbox = machine.start(['inbox', '--name', 'Shell'])
    await inbox.printed(/listening/)
    await machine.run(['send', 'Shell', 'red \u001b[31m and \u202e back', '--name', 'Dora'])
    const ran = await inbox.ended
    expect(ran.code).toBe(0)
    expect(ran.out).toContain('red \\u{1b}[31m and \\u{202e} back')
  })

  test('call runs the tools of the model', async () => {
    await using bob = await machine.session('Bob')
    const sent = await machine.json(['call', 'send_message', JSON.stringify({ to: ['Bob', '*'], message: 'from a tool' })])
    expect(sent).toMatchObject({ status: expect.stringContaining('Bob') })
    expect(bob.inbox.size).toBe(1)
    expect(await machine.json(['call', 'list_peers'])).toMatchObject({ peers: [{ name: 'Bob' }] })
  })
})

describe('create', () => {
  test('founds a second mesh on the same broker and sets the root key apart', async () => {
    verifies('cli.leave')
    verifies('cli.leave')
    const made = await machine.json(['create', 'team', '--broker', broker.url, '--name', 'Anna'])
    expect(made).toMatchObject({ slug: 'team', name: 'Anna', rootKey: join(machine.home, 'roots', 'team.root.key') })
    expect(statSync(made['rootKey'] as string).mode & 0o777).toBe(0o600)
    expect((await machine.refusal(['peers'])).message).toContain('--mesh local | --mesh team')
    expect(await machine.json(['peers', '--mesh', 'team'])).toEqual({ mesh: 'team', peers: [] })
    expect(await machine.json(['leave', 'team'])).toMatchObject({ left: 'team' })
    expect(await machine.json(['peers'])).toMatchObject({ mesh: 'local' })
  })
})
