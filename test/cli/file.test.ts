import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Machine } from './machine.ts'

let machine: Machine

beforeAll(async () => {
  machine = await Machine.up()
}, 60_000)
afterAll(() => machine[Symbol.asyncDispose]())

const write = (name: string, content: string) => writeFileSync(join(machine.project, name), content)
const read = (name: string) => readFileSync(join(machine.project, name), 'utf8')

describe('claudemesh file', () => {
  test('shares, lists, gets, tells and deletes', async () => {
    write('contract.yaml', 'openapi: 3')
    const shared = await machine.json<{ id: string; name: string }>(['file', 'share', 'contract.yaml', '--as', 'API v2', '--tags', 'api,auth'])
    expect(shared.name).toBe('API v2')
    expect((await machine.run(['file', 'list', 'api'])).out).toMatch(new RegExp(`${shared.id}  API v2  10 +\\S+ +api, auth`))
    expect((await machine.run(['file', 'list', 'api', '--from', 'Nobody'])).out).toBe('no files\n')
    expect((await machine.run(['file', 'status', shared.id])).out).toBe('nobody downloaded it yet\n')
    expect((await machine.run(['file', 'get', shared.id])).out).toBe(`saved ${join(machine.project, 'API v2')}, verified\n`)
    expect(read('API v2')).toBe('openapi: 3')
    const again = await machine.run(['file', 'get', shared.id])
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('exists already')])
    expect((await machine.run(['file', 'get', shared.id, 'copy.yaml', '--overwrite'])).code).toBe(0)
    expect(await machine.json<{ readAt: number }[]>(['file', 'status', shared.id])).toMatchObject([
      { readAt: expect.any(Number) },
      { readAt: expect.any(Number) },
    ])
    expect((await machine.run(['file', 'rm', shared.id])).out).toBe(`deleted ${shared.id}\n`)
    expect((await machine.run(['file', 'get', shared.id])).err).toContain('there is no file')
  })

  test('a person may force a secret and save anywhere, a model’s tool called from the shell may not', async () => {
    write('.env', 'KEY=1')
    const refused = await machine.run(['file', 'share', '.env'])
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('its name is that of a secret')])
    const { id } = await machine.json<{ id: string }>(['file', 'share', '.env', '--force'])
    expect((await machine.run(['call', 'get_file', JSON.stringify({ id, save_to: '/etc/x' })])).err).toContain('outside of')
    expect((await machine.run(['file', 'get', id, machine.home])).out).toBe(`saved ${join(machine.home, 'env')}, verified\n`)
  })

  test('lists the newest, says how to see more, and goes on there', async () => {
    type Page = { files: { id: string; name: string }[]; next?: string }
    for (let i = 1; i <= 22; i++) {
      write(`page${i}.txt`, `${i}`)
      expect((await machine.run(['file', 'share', `page${i}.txt`, '--tags', 'paged'])).code).toBe(0)
    }
    const names = ({ files }: Page) => files.map(({ name }) => name)
    const first = await machine.json<Page>(['file', 'list', '#paged'])
    expect(names(first)).toEqual(Array.from({ length: 20 }, (_, i) => `page${22 - i}.txt`))
    const rest = await machine.json<Page>(['file', 'list', '#paged', '--after', first.next ?? ''])
    expect([names(rest), rest.next]).toEqual([['page2.txt', 'page1.txt'], undefined])
    const { out } = await machine.run(['file', 'list', '#paged', '--limit', '3'])
    expect(out.trimEnd().split('\n')).toHaveLength(5)
    expect(out).toMatch(/page20\.txt.*\nmore: --after \d+, or --all\n$/)
    const all = await machine.run(['file', 'list', '#paged', '--all'])
    expect(all.out.trimEnd().split('\n')).toHaveLength(23)
    expect(all.out).not.toContain('more:')
    for (const [args, says] of [
      [['--all', '--limit', '3'], 'cannot be used with'],
      [['--limit', '0'], 'expected a whole number above 0'],
      [['--after', 'x'], 'expected a whole number'],
    ] as const) {
      const ran = await machine.run(['file', 'list', ...args])
      expect([ran.code === 0, ran.err]).toEqual([false, expect.stringContaining(says)])
    }
  })

  test('draws no bar where nobody watches', async () => {
    write('a.txt', 'a')
    expect((await machine.run(['file', 'share', 'a.txt'])).err).toBe('')
  })

  test('what is missing or wrong is said', async () => {
    for (const [args, says] of [
      [['file', 'share'], "missing required argument 'path'"],
      [['file', 'share', 'nothing.txt'], 'there is no file'],
      [['file', 'get', 'f_x'], 'there is no file'],
      [['file', 'status', 'x'], 'is not the id of a file'],
    ] as const) {
      const ran = await machine.run(args)
      expect([ran.code === 0, ran.err]).toEqual([false, expect.stringContaining(says)])
    }
  })
})

test('send attaches files', async () => {
  write('one.txt', 'one')
  write('two.txt', 'two')
  await using peer = await machine.session('Bob')
  const arrives = new Promise<{ files?: readonly { name: string }[] }>((resolve) => peer.on('message', resolve))
  expect((await machine.run(['send', 'Bob', 'two files', '--file', 'one.txt', '--file', 'two.txt', '--name', 'Alice'])).code).toBe(0)
  expect((await arrives).files?.map((file) => file.name)).toEqual(['one.txt', 'two.txt'])
})
