import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Seen } from '@claudemesh/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { statePin } from '../../apps/cli/src/home/state-pin.ts'
import { Machine } from './machine.ts'

let machine: Machine

beforeAll(async () => {
  machine = await Machine.up()
}, 60_000)
afterAll(() => machine[Symbol.asyncDispose]())

describe('claudemesh state', () => {
  test('set, get, list and delete', async () => {
    expect(await machine.run(['state', 'set', 'sprint', '2026-W14'])).toMatchObject({ code: 0, out: 'sprint is set (version 1)\n' })
    expect(await machine.json(['state', 'set', 'frozen', 'true'])).toEqual({ key: 'frozen', version: 1 })
    expect(await machine.json(['state', 'set', 'queue', '-'], { input: '["#142",\n"#143"]\n' })).toEqual({ key: 'queue', version: 1 })
    expect(await machine.run(['state', 'get', 'sprint'])).toMatchObject({ code: 0, out: '2026-W14\n' })
    expect(await machine.json(['state', 'get', 'frozen'])).toMatchObject({ key: 'frozen', value: true, version: 1, verified: true })
    expect(await machine.json(['state', 'get', 'queue'])).toMatchObject({ value: ['#142', '#143'] })
    const { out } = await machine.run(['state', 'list'])
    const cells = out.split('\n').map((line) => line.split(/ {2,}/))
    expect(cells.map((row) => [row[0], row[1], row[4]])).toEqual([
      ['frozen', 'v1', 'true'],
      ['queue', 'v1', '["#142","#143"]'],
      ['sprint', 'v1', '"2026-W14"'],
      ['', undefined, undefined],
    ])
    expect((await machine.json<{ entries: unknown[] }>(['state', 'list', 'spr'])).entries).toHaveLength(1)
    expect(await machine.run(['state', 'delete', 'queue'])).toMatchObject({ code: 0, out: 'queue is deleted\n' })
    expect(await machine.run(['state', 'delete', 'queue'])).toMatchObject({ code: 0, out: 'queue was unset\n' })
  })

  test('a long value is listed by its beginning, and said to be', async () => {
    await machine.run(['state', 'set', 'long', 'x'.repeat(300)])
    expect((await machine.run(['state', 'list', 'long'])).out).toMatch(/ {2}"x{198}…\n$/)
    await machine.run(['state', 'delete', 'long'])
  })

  test('--if-version claims a key once', async () => {
    expect(await machine.run(['state', 'set', 'lock', 'mine', '--if-version', '0'])).toMatchObject({ code: 0 })
    expect(await machine.refusal(['state', 'set', 'lock', 'yours', '--if-version', '0'])).toMatchObject({ exit: 1, code: 'version_conflict' })
  })

  test.each([
    [['state'], 2, "missing required argument 'action'"],
    [['state', 'burn'], 2, 'Allowed choices are get, set, list, delete, watch'],
    [['state', 'get'], 2, 'which key?'],
    [['state', 'set', 'k'], 2, 'which value?'],
    [['state', 'get', 'k', 'v'], 2, 'takes no value'],
    [['state', 'set', 'k', 'v', '--if-version', 'x'], 2, 'expected a whole number'],
    [['state', 'get', 'nothing'], 1, 'nothing is unset'],
    [['state', 'set', 'a\nb', '1'], 1, 'control or invisible'],
    [['launch', '--watch', 'a\u200bb'], 2, 'control or invisible'],
  ])('%j ends with %i and says why', async (args, code, why) => {
    const ran = await machine.run(args)
    expect(ran.code).toBe(code)
    expect(ran.err).toContain(why)
  })

  test('watch prints what changes, one JSON object each, until it is stopped', async () => {
    await using watching = machine.start(['state', 'watch', 'deploy_*', '--json'])
    await watching.printed(/watching deploy_\*/)
    for (const [key, value] of [
      ['sprint', '1'],
      ['deploy_frozen', 'true'],
    ] as const)
      await machine.run(['state', 'set', key, value])
    await machine.run(['state', 'delete', 'deploy_frozen'])
    await watching.printed(/"deleted":true/)
    const { out } = await watching.stop('SIGINT')
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([
      { key: 'deploy_frozen', value: true, version: 1, deleted: false },
      { key: 'deploy_frozen', version: 2, deleted: true },
    ])
  })

  test('what was seen is kept in a private file that names no key', async () => {
    await machine.run(['state', 'set', 'secret-project', '1'])
    const [mesh = ''] = readdirSync(join(machine.home, 'states'))
    const file = join(machine.home, 'states', mesh)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(file, 'utf8')).toMatch(/^(\d+ [\w-]{43} [01] \d+ [\w-]{22}\n)+$/)
  })
})

describe('the file of what was seen', () => {
  const seen = (version: number): Seen => ({ version, hash: 'h'.repeat(43), deleted: false, at: 1 })

  test('keeps the highest version of each row over processes, whatever stands in between', () => {
    const pin = statePin(machine.home, 'a'.repeat(32))
    pin.raise('row one', seen(3))
    pin.raise('row two', { version: 9, deleted: true, at: 2 })
    const other = statePin(machine.home, 'a'.repeat(32))
    other.load()
    other.raise('row one', seen(4))
    appendFileSync(join(machine.home, 'states', 'a'.repeat(32)), 'torn\n7 - 2 x row two\n5 ')
    expect(new Map(statePin(machine.home, 'a'.repeat(32)).load())).toEqual(
      new Map<string, Seen>([
        ['row one', seen(4)],
        ['row two', { version: 9, deleted: true, at: 2 }],
      ]),
    )
  })

  test('does not grow with the changes of one key', () => {
    const pin = statePin(machine.home, 'b'.repeat(32))
    for (let version = 1; version <= 3000; version++) pin.raise('busy', seen(version))
    expect(readFileSync(join(machine.home, 'states', 'b'.repeat(32)), 'utf8').split('\n').length).toBeLessThan(1100)
    expect(new Map(statePin(machine.home, 'b'.repeat(32)).load())).toEqual(new Map([['busy', seen(3000)]]))
  })
})
