import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { Machine } from './machine.ts'

async function script(shell: string): Promise<string> {
  await using machine = new Machine()
  const ran = await machine.run(['completion', shell])
  expect(ran).toMatchObject({ code: 0, err: '' })
  return ran.out
}

describe('bash', () => {
  /** What a real bash offers when Tab is pressed at the end of this line. */
  async function offers(line: string): Promise<string[]> {
    const words = line.split(' ')
    const ask = `
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_claudemesh
printf '%s\\n' "\${COMPREPLY[@]}"`
    const run = spawnSync('bash', ['--norc', '-u', '-c', `${await script('bash')}\n${ask}`], { encoding: 'utf8' })
    expect(run).toMatchObject({ status: 0, stderr: '' })
    return run.stdout.split('\n').filter((word) => word !== '')
  }

  test.each([
    ['claudemesh inv', ['invite', 'invites']],
    ['claudemesh lau', ['launch']],
    ['claudemesh to', []],
    ['claudemesh launch --ro', ['--role']],
    ['claudemesh launch --name Alice --gro', ['--groups']],
    ['claudemesh invite --role ', ['member', 'admin']],
    ['claudemesh send Bob hello --priority n', ['now', 'next']],
    ['claudemesh completion ', ['bash', 'zsh', 'fish', 'powershell', '--json']],
    ['claudemesh file sh', ['share']],
    ['claudemesh file get --over', ['--overwrite']],
    ['claudemesh file list --lim', ['--limit']],
    ['claudemesh launch --name ', []],
    ['claudemesh launch -- --ro', []],
  ])('%j', async (line, expected) => {
    expect((await offers(line)).filter((word) => !['-h', '--help'].includes(word))).toEqual(expected)
  })

  test('every command that the help lists is offered', async () => {
    await using machine = new Machine()
    const { out } = await machine.run(['--help'])
    const listed = [...out.slice(out.indexOf('Commands:')).matchAll(/^ {2}([a-z]+)/gm)].flatMap((match) => match[1] ?? []).filter((name) => name !== 'help')
    expect((await offers('claudemesh ')).filter((word) => !word.startsWith('--'))).toEqual(listed)
  })
})

describe.each([
  ['zsh', /^#compdef claudemesh\n/, 'invite) _arguments', "'--role[what the joiner becomes]:value:(member admin)'"],
  ['fish', /^complete -c claudemesh/, '-a launch', "-n '__fish_seen_subcommand_from invite' -l role -x -a 'member admin'"],
  ['powershell', /^Register-ArgumentCompleter -Native -CommandName claudemesh/, "'launch' = @(", "'invite --role' = @('member', 'admin')"],
])('%s', (shell, start, command, values) => {
  test('has commands, flags and their values, and nothing hidden', async () => {
    const text = await script(shell)
    expect(text).toMatch(start)
    expect(text).toContain(command)
    expect(text).toContain(values)
    expect(text).not.toMatch(/\btour\b|handover/)
  })
})

test('an unknown shell is refused with the choice', async () => {
  await using machine = new Machine()
  const ran = await machine.run(['completion', 'tcsh'])
  expect(ran.code).toBe(2)
  expect(ran.err).toContain('bash, zsh, fish, powershell')
})
