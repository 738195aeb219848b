import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Machine } from './machine.ts'

const cli = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url))
let machine: Machine
let path: string
beforeAll(async () => {
  machine = await Machine.up()
  const bin = join(machine.folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'claude'), '#!/bin/sh\necho started\n')
  chmodSync(join(bin, 'claude'), 0o755)
  path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
})
afterAll(() => machine[Symbol.asyncDispose]())

/** Runs a command of whom the system takes no byte for a file any more. */
function withoutRoom(args: string[]) {
  const script = `trap '' XFSZ; ulimit -f 0; exec '${process.execPath}' '${cli}' "$@"`
  const env = { PATH: path, HOME: machine.folder, CLAUDEMESH_HOME: machine.home }
  return spawnSync('sh', ['-c', script, 'sh', ...args], { cwd: machine.project, env, encoding: 'utf8' })
}

test.each([[['leave', 'local']], [['launch', '--name', 'Alice', '-y']], [['install']]])(
  'claudemesh %j on a full disk says so in one line and leaves all as it was',
  (args) => {
    const config = readFileSync(join(machine.home, 'config.json'), 'utf8')
    const files = readdirSync(machine.home).toSorted()
    const ran = withoutRoom(args)
    expect({ code: ran.status, out: ran.stdout }).toEqual({ code: 1, out: '' })
    expect(ran.stderr).toMatch(/^claudemesh: the disk has no room left to write; free some and try again: all is as it was\n$/)
    expect(readFileSync(join(machine.home, 'config.json'), 'utf8')).toBe(config)
    expect(
      readdirSync(machine.home)
        .filter((name) => name !== 'sessions')
        .toSorted(),
    ).toEqual(files.filter((name) => name !== 'sessions'))
    expect(readdirSync(machine.home).includes('sessions') ? readdirSync(join(machine.home, 'sessions')) : []).toEqual([])
  },
)

test('and with room it goes on where it was', async () => {
  expect(await machine.json<{ meshes: object[] }>(['list'])).toMatchObject({ meshes: [{ slug: 'local' }] })
})
