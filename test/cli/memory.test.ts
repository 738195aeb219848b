import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Machine } from './machine.ts'

let machine: Machine

beforeAll(async () => {
  machine = await Machine.up()
})
afterAll(() => machine[Symbol.asyncDispose]())

interface Recalled {
  memories: { id: string; content: string; tags: string[]; by: { name: string }; at: number }[]
}

test('what one command remembers the next recalls, until it is forgotten', async () => {
  const { id } = await machine.json<{ id: string }>(['remember', 'The staging database is rebuilt every Sunday', '--tags', 'staging, Database'])
  await machine.json(['remember', '-'], { input: 'Deploys of the shop need two approvals\n' })
  expect(await machine.json<Recalled>(['recall', 'databases', 'rebuilt'])).toMatchObject({ memories: [{ id, tags: ['staging', 'database'] }] })
  const shown = await machine.run(['recall', 'approvals'])
  expect(shown.out).toMatch(/^\S+ {2}\d{4}-\d\d-\d\d {2}[\w-]{22}\n {2}Deploys of the shop need two approvals\n$/)
  for (const flags of [
    ['--tags', 'other'],
    ['--by', 'Nobody'],
    ['--since', '2999-01-01'],
  ])
    expect(await machine.json(['recall', 'database', ...flags])).toEqual({ memories: [] })
  expect(await machine.json<Recalled>(['recall', 'staging', '--tags', 'staging', '--since', '2020-01-01', '--limit', '1'])).toMatchObject({
    memories: [{ id }],
  })
  expect((await machine.run(['forget', id])).out).toBe(`forgotten: ${id}\n`)
  expect((await machine.run(['recall', 'staging'])).out).toBe('the mesh remembers nothing that fits\n')
})

test('between commands it is kept as ciphertext', async () => {
  await machine.run(['remember', 'The canary sings at dawn'])
  await machine.run(['recall', 'canary'])
  const cache = join(machine.home, 'cache')
  const files = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(files.map(({ name }) => name)).toEqual(['memory'])
  for (const { parentPath, name } of files) expect(readFileSync(join(parentPath, name), 'utf8')).not.toMatch(/canary|dawn/)
})

test.each([
  [['remember', ' '], 'bad_memory', 1],
  [['remember', 'x', '--tags', 'a!'], 'bad_memory', 1],
  [['forget', 'A'.repeat(22)], 'not_found', 1],
  [['recall', 'x', '--limit', '51'], 'too_large', 1],
  [['recall', 'x'.repeat(1025)], 'too_large', 1],
])('%j is refused as %s', async (args, code, exit) => {
  expect(await machine.refusal(args)).toMatchObject({ code, exit })
})

test.each([[['recall']], [['remember']], [['forget']], [['recall', 'x', '--since', 'yesterday']], [['recall', 'x', '--limit', '0']]])(
  '%j is no way to call it',
  async (args) => {
    expect((await machine.run(args)).code).toBe(2)
  },
)
