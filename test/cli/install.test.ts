import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { guide } from '../../apps/cli/src/claude/guide.ts'
import { verifies } from '../harness/verifies.ts'
import { Machine, type Ran } from './machine.ts'

/** One user with a home folder in which Claude Code keeps its settings. */
class User implements AsyncDisposable {
  readonly machine = new Machine()
  readonly home = join(this.machine.folder, 'user')
  readonly state = join(this.home, '.claude.json')
  readonly settings = join(this.home, '.claude', 'settings.json')
  readonly skill = join(this.home, '.claude', 'skills', 'claudemesh', 'SKILL.md')

  constructor(files: Record<string, string> = {}) {
    mkdirSync(this.home)
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.home, name)), { recursive: true })
      writeFileSync(join(this.home, name), text)
    }
  }

  run(command: string, env: Record<string, string> = {}): Promise<Ran> {
    return this.machine.run([command, '--json'], { env: { HOME: this.home, ...env } })
  }

  async changed(command: string, env: Record<string, string> = {}): Promise<string[]> {
    const ran = await this.run(command, env)
    if (ran.code !== 0) throw new Error(ran.err)
    return (JSON.parse(ran.out) as { changed: string[] }).changed
  }

  async refusal(command: string): Promise<{ code: string; message: string }> {
    const ran = await this.run(command)
    expect(ran.code).toBe(1)
    return (JSON.parse(ran.err) as { error: { code: string; message: string } }).error
  }

  /** Every file below the home folder with its bytes. */
  files(folder = this.home): Record<string, string> {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
    return Object.fromEntries(
      entries.map((entry) => {
        const path = join(entry.parentPath, entry.name)
        return [path, entry.isDirectory() ? '(folder)' : readFileSync(path, 'utf8')]
      }),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.machine[Symbol.asyncDispose]()
  }
}

interface Settings {
  hooks: Record<string, { hooks: { server: string; type: string }[] }[]>
  [key: string]: unknown
}
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Settings

const state = `{"numStartups":5,"projects":{"/p":{"allowedTools":[]}},"mcpServers":{"other":{"type":"stdio","command":"x","args":[],"env":{}}}}`
const settings = `{
    "model": "opus",
    "unknown key": { "kept": [1, 2] },
    "hooks": {
        "Stop": [{ "hooks": [{ "type": "command", "command": "say done" }] }]
    }
}
`
const commented = `{
\t// mine
\t"permissions": { "allow": ["Bash(git:*)"], }, /* and this */
}
`

describe('install and uninstall', () => {
  test('registers server, hooks, skill and guide in Claude Code’s own form', async () => {
    verifies('cli.install', 'context.file-installed')
    await using user = new User({ '.claude.json': state, '.claude/settings.json': settings })
    const guideFile = join(user.machine.home, 'CLAUDEMESH.md')
    expect(await user.changed('install')).toEqual([user.state, user.settings, user.skill, guideFile])
    expect(json(user.state)).toMatchObject({
      numStartups: 5,
      mcpServers: { other: { command: 'x' }, claudemesh: { type: 'stdio', command: process.execPath, args: [expect.stringMatching(/main\.ts$/), 'mcp'] } },
    })
    const after = json(user.settings)
    expect(after).toMatchObject({ model: 'opus', 'unknown key': { kept: [1, 2] } })
    expect(after.hooks['Stop']).toMatchObject([{ hooks: [{ command: 'say done' }] }, { hooks: [{ type: 'mcp_tool', server: 'claudemesh' }] }])
    expect(after.hooks['UserPromptSubmit']).toMatchObject([{ hooks: [{ type: 'mcp_tool', server: 'claudemesh' }] }])
    expect(readFileSync(user.skill, 'utf8')).toContain(guide())
    expect(readFileSync(guideFile, 'utf8')).toBe(guide())
  })

  test.each([
    ['nothing there', {}],
    ['both files', { '.claude.json': state, '.claude/settings.json': settings }],
    ['comments, tabs and trailing commas', { '.claude/settings.json': commented }],
    ['Windows line ends', { '.claude/settings.json': settings.replaceAll('\n', '\r\n') }],
    ['empty objects', { '.claude.json': '{}', '.claude/settings.json': '{ "hooks": {} }' }],
    ['a server of that name of the user’s own', { '.claude.json': '{ "mcpServers": { "claudemesh": { "type": "http", "url": "http://x" } } }' }],
    ['a skill of that name of the user’s own', { '.claude/skills/claudemesh/SKILL.md': 'mine' }],
  ])('%s: a second install changes nothing, uninstall restores every byte, a second uninstall has nothing to do', async (_what, files) => {
    await using user = new User(files)
    const before = user.files()
    await user.changed('install')
    const installed = user.files()
    expect(await user.changed('install')).toEqual([])
    expect(user.files()).toEqual(installed)
    await user.changed('uninstall')
    expect(user.files()).toEqual(before)
    expect(readdirSync(user.machine.home)).toEqual([])
    expect(await user.changed('uninstall')).toEqual([])
  })

  test('comments and layout survive the install, too', async () => {
    await using user = new User({ '.claude/settings.json': commented })
    await user.changed('install')
    const text = readFileSync(user.settings, 'utf8')
    expect(text).toContain('\t// mine\n\t"permissions": { "allow": ["Bash(git:*)"], }')
    expect(text).toContain('/* and this */')
    expect(text).toContain('hook_event')
  })

  test.each([
    ['with the record of the install', true],
    ['without a record', false],
  ])('where others wrote in between, only ours goes: %s', async (_what, recorded) => {
    await using user = new User({ '.claude.json': state, '.claude/settings.json': settings })
    await user.changed('install')
    const changedState = { ...json(user.state), numStartups: 6 }
    writeFileSync(user.state, JSON.stringify(changedState))
    const added = json(user.settings)
    added.hooks['Stop']?.push({ hooks: [{ type: 'command', server: 'theirs' }] })
    writeFileSync(user.settings, JSON.stringify({ ...added, theme: 'dark' }))
    if (!recorded) rmSync(join(user.machine.home, 'install.json'))
    await user.changed('uninstall')
    expect(json(user.state)).toEqual({ ...JSON.parse(state), numStartups: 6 })
    expect(json(user.settings)).toEqual({
      ...JSON.parse(settings),
      theme: 'dark',
      hooks: { Stop: [{ hooks: [{ type: 'command', command: 'say done' }] }, { hooks: [{ type: 'command', server: 'theirs' }] }] },
    })
    expect(existsSync(user.skill)).toBe(false)
  })

  test('a change of others before a repeated install is kept and goes into the undo', async () => {
    await using user = new User({ '.claude/settings.json': settings })
    await user.changed('install')
    writeFileSync(user.settings, JSON.stringify({ ...json(user.settings), theme: 'dark' }))
    await user.changed('install')
    expect(json(user.settings).hooks['Stop']).toHaveLength(2)
    await user.changed('uninstall')
    expect(json(user.settings)).toEqual({ ...JSON.parse(settings), theme: 'dark' })
  })

  test('a skill that the user has rewritten is theirs', async () => {
    await using user = new User()
    await user.changed('install')
    writeFileSync(user.skill, 'rewritten')
    await user.changed('uninstall')
    expect(readFileSync(user.skill, 'utf8')).toBe('rewritten')
  })

  test('links stay links and modes stay; a new file is for its owner alone, the backup too', async () => {
    await using user = new User({ 'dotfiles/settings.json': settings, '.claude/x': '' })
    const target = join(user.home, 'dotfiles', 'settings.json')
    chmodSync(target, 0o640)
    symlinkSync(target, user.settings)
    await user.changed('install')
    expect(lstatSync(user.settings).isSymbolicLink()).toBe(true)
    expect(readFileSync(target, 'utf8')).toContain('hook_event')
    expect(statSync(target).mode & 0o777).toBe(0o640)
    expect(statSync(user.state).mode & 0o777).toBe(0o600)
    expect(statSync(join(user.machine.home, 'install.json')).mode & 0o777).toBe(0o600)
    await user.changed('uninstall')
    expect(readFileSync(target, 'utf8')).toBe(settings)
    expect(lstatSync(user.settings).isSymbolicLink()).toBe(true)
  })

  test('CLAUDE_CONFIG_DIR is respected, and undone from a shell without it', async () => {
    await using user = new User()
    const folder = join(user.home, 'config')
    const changed = await user.changed('install', { CLAUDE_CONFIG_DIR: folder })
    expect(changed.slice(0, 3)).toEqual([join(folder, '.claude.json'), join(folder, 'settings.json'), join(folder, 'skills', 'claudemesh', 'SKILL.md')])
    await user.changed('uninstall')
    expect(user.files()).toEqual({})
  })
})

describe('install refuses what it cannot edit safely, with one line and nothing touched', () => {
  test.each([
    ['no JSON', { '.claude/settings.json': '{ "hooks": ' }, 'settings.json'],
    ['no object', { '.claude/settings.json': '[]' }, 'holds no object'],
    ['hooks of another form', { '.claude/settings.json': '{ "hooks": [] }' }, 'hooks is no object'],
    ['an event of another form', { '.claude/settings.json': '{ "hooks": { "Stop": {} } }' }, 'hooks.Stop is no list'],
    ['a key that stands twice', { '.claude/settings.json': '{ "hooks": { "A": [] }, "hooks": {} }' }, 'unusual'],
    ['servers of another form', { '.claude.json': '{ "mcpServers": 7 }' }, 'mcpServers is no object'],
    ['a folder in place of the file', { '.claude/settings.json/x': '' }, 'EISDIR'],
  ])('%s', async (_what, files, why) => {
    await using user = new User(files)
    const before = user.files()
    const { code, message } = await user.refusal('install')
    expect({ code, message }).toEqual({ code: 'bad_settings', message: expect.stringContaining(why) })
    expect(message).toContain('nothing was changed')
    expect(user.files()).toEqual(before)
  })

  test('when one file cannot be written, those written before it are put back', async () => {
    await using user = new User({ '.claude.json': state, 'nowhere/x': '' })
    // A link into a folder that is not there: the place can be read as empty and not be written.
    mkdirSync(join(user.home, '.claude'))
    symlinkSync(join(user.home, 'nowhere', 'missing', 'settings.json'), user.settings)
    const { code } = await user.refusal('install')
    expect(code).toBe('bad_settings')
    expect(readFileSync(user.state, 'utf8')).toBe(state)
    expect(existsSync(user.skill)).toBe(false)
  })

  test('a damaged record', async () => {
    await using user = new User({ '.claude/settings.json': settings })
    await user.changed('install')
    writeFileSync(join(user.machine.home, 'install.json'), 'oops')
    expect(await user.refusal('uninstall')).toMatchObject({ code: 'broken_config', message: expect.stringContaining('move it away') })
  })
})
