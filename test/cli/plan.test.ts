import { describe, expect, test } from 'vitest'
import { plan, type LaunchRequest } from '../../apps/cli/src/launch/plan.ts'

const request: LaunchRequest = {
  persona: { name: 'Alice', role: 'dev', groups: [{ name: 'frontend', role: 'lead' }] },
  claudeArgs: [],
  env: {},
  folder: '/home/u/.claudemesh/sessions/s-abc',
  node: '/usr/bin/node',
  script: '/opt/claudemesh/main.js',
  version: '1.2.3',
  claudeVersion: '2.1.329',
  handover: '/home/u/.claudemesh/sessions/s-abc/key.sock',
}
const ours = ['--plugin-dir', '/home/u/.claudemesh/sessions/s-abc/plugin', '--allowedTools=mcp__plugin_claudemesh_mesh', '-n', 'Alice']
type Hooks = Record<string, { matcher?: string; hooks: { type: string; command?: string; args?: string[] }[] }[]>
const json = (text: string | undefined) => JSON.parse(text ?? '') as unknown

describe('arguments', () => {
  test.each([
    ['none of the user’s', [], []],
    ['a prompt', ['fix the build'], ['fix the build']],
    ['headless', ['-p', 'hello', '--output-format', 'json'], ['-p', 'hello', '--output-format', 'json']],
    ['a character', ['--append-system-prompt', 'You are --dangerously calm.'], ['--append-system-prompt', 'You are --dangerously calm.']],
    ['allowed tools of the user’s own', ['--allowedTools', 'Bash(git:*)', 'Edit'], ['--allowedTools', 'Bash(git:*)', 'Edit']],
    ['one dangerous flag', ['--dangerously-skip-permissions', 'go'], ['--dangerously-skip-permissions', 'go']],
    ['the same dangerous flag twice', ['--dangerously-skip-permissions', 'go', '--dangerously-skip-permissions'], ['--dangerously-skip-permissions', 'go']],
    [
      'channels twice, each with its own entry',
      ['--dangerously-load-development-channels', 'server:a', '--dangerously-load-development-channels', 'server:b'],
      ['--dangerously-load-development-channels', 'server:a', '--dangerously-load-development-channels', 'server:b'],
    ],
    ['other flags twice', ['--add-dir', 'a', '--add-dir', 'b'], ['--add-dir', 'a', '--add-dir', 'b']],
  ])('%s', (_what, claudeArgs, passed) => {
    expect(plan({ ...request, claudeArgs }).args).toEqual([...ours, ...passed])
  })

  test('permissions are never skipped on our own account', () => {
    const { args, files } = plan(request)
    expect([...args, ...Object.values(files)].join('\n')).not.toMatch(/dangerously|bypassPermissions/)
  })

  test('the last of ours takes exactly one value, so that a prompt after it stays a prompt', () => {
    expect(plan({ ...request, claudeArgs: ['prompt'] }).args.slice(-3)).toEqual(['-n', 'Alice', 'prompt'])
  })
})

describe('environment', () => {
  const mark = { CLAUDEMESH_SESSION: request.handover }
  const parent = {
    CLAUDECODE: '1',
    CLAUDE_CODE_CHILD_SESSION: '1',
    CLAUDE_CODE_SESSION_ID: 'x',
    CLAUDE_CODE_MESSAGING_SOCKET: '/tmp/cc-socks/1.sock',
    CLAUDE_CODE_MESSAGING_TOKEN: 't',
    CLAUDE_CODE_ENTRYPOINT: 'cli',
    CLAUDE_CODE_EXECPATH: '/bin/claude',
    CLAUDE_CODE_SESSION_ATTENDED: '1',
    CLAUDE_CODE_CHILD_NOTES_DIR: '/tmp/notes',
    CLAUDE_CODE_NEVER_HEARD_OF: '1',
    CLAUDE_PID: '7',
    CLAUDE_EFFORT: 'high',
    CLAUDE_PROJECT_DIR: '/p',
    CLAUDE_PLUGIN_ROOT: '/q',
    AI_AGENT: 'claude-code_2_agent',
  }
  const user = {
    PATH: '/usr/bin',
    HOME: '/home/u',
    ANTHROPIC_API_KEY: 'k',
    CLAUDE_CONFIG_DIR: '/c',
    CLAUDE_CODE_USE_BEDROCK: '1',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    CLAUDE_CODE_MAX_OUTPUT_TOKENS: '8000',
    CLAUDE_CODE_OAUTH_TOKEN: 'o',
    CLAUDEMESH_HOME: '/m',
  }

  test('started inside a Claude Code: what that one is goes, what the user set stays', () => {
    expect(plan({ ...request, env: { ...parent, ...user } }).env).toEqual({ ...user, ...mark })
  })

  test('started from a plain shell: nothing is touched', () => {
    const env = { ...user, CLAUDE_CODE_ENTRYPOINT: 'mine', CLAUDE_EFFORT: 'low' }
    expect(plan({ ...request, env }).env).toEqual({ ...env, ...mark })
  })

  test('the invite and the marks of the package manager’s script go', () => {
    const env = { ...user, CLAUDEMESH_INVITE: 'cm1:x#y', INIT_CWD: '/a', npm_lifecycle_event: 'claudemesh', npm_package_name: 'x', unset: undefined }
    expect(plan({ ...request, env }).env).toEqual({ ...user, ...mark })
  })
})

describe('files', () => {
  const { files } = plan(request)

  test('a plugin whose server starts this CLI and fetches the key from the socket', () => {
    expect(files['card.txt']).toContain('you are Alice (dev), status idle, in @frontend:lead.')
    expect(Object.keys(files).sort()).toEqual([
      'card.txt',
      'plugin/.claude-plugin/plugin.json',
      'plugin/.mcp.json',
      'plugin/hooks/hooks.json',
      'plugin/skills/claudemesh/SKILL.md',
    ])
    expect(json(files['plugin/.claude-plugin/plugin.json'])).toMatchObject({ name: 'claudemesh', version: '1.2.3' })
    expect(json(files['plugin/.mcp.json'])).toEqual({
      mcpServers: { mesh: { command: request.node, args: [request.script, 'mcp', '--handover', request.handover], alwaysLoad: true } },
    })
  })

  test('every hook of a turn calls the server and starts no process; the one of a new start prints the card; none comes when the server is gone', () => {
    const { hooks } = json(files['plugin/hooks/hooks.json']) as { hooks: Hooks }
    expect(Object.keys(hooks)).toEqual(expect.arrayContaining(['UserPromptSubmit', 'Stop', 'StopFailure', 'Notification']))
    const { SessionStart: [start] = [], ...often } = hooks
    expect(start).toMatchObject({ matcher: 'resume|clear|compact', hooks: [{ type: 'command', command: '/usr/bin/node' }] })
    expect(start?.hooks[0]?.args?.at(-1)).toMatch(/card\.txt$/)
    expect(Object.keys(hooks)).not.toContain('SessionEnd')
    const entries = Object.values(often).flatMap((matchers) => matchers.flatMap((matcher) => matcher.hooks))
    for (const entry of entries) expect(entry).toMatchObject({ type: 'mcp_tool', server: 'plugin:claudemesh:mesh' })
  })
})

describe('ways into the session', () => {
  const hooksOf = (changes: Partial<LaunchRequest>) => (json(plan({ ...request, ...changes }).files['plugin/hooks/hooks.json']) as { hooks: Hooks }).hooks
  const serverArgs = (changes: Partial<LaunchRequest>) =>
    (json(plan({ ...request, ...changes }).files['plugin/.mcp.json']) as { mcpServers: { mesh: { args: string[] } } }).mcpServers.mesh.args.slice(4)
  const waiting = (changes: Partial<LaunchRequest>) =>
    Object.entries(hooksOf(changes))
      .filter(([, matchers]) => matchers.some(({ hooks }) => hooks.some((hook) => 'asyncRewake' in hook)))
      .map(([event]) => event)
  const socket = '/home/u/.claudemesh/sessions/s-abc/wake.sock'

  test.each<[string, Partial<LaunchRequest>, string[]]>([
    ['an inbox', {}, []],
    ['a version that nobody could tell', { claudeVersion: undefined }, []],
    ['the inbox turned off', { env: { CLAUDE_CODE_HARBOR_KITE: '0' } }, ['SessionStart', 'Stop', 'StopFailure']],
    ['a version without one', { claudeVersion: '2.1.200' }, ['SessionStart', 'Stop', 'StopFailure']],
    ['neither, and no terminal', { claudeVersion: '2.1.200', claudeArgs: ['-p', 'hello'] }, ['Stop', 'StopFailure']],
    ['a version too old for either', { claudeVersion: '2.1.100' }, []],
  ])('%s: a hook waits at %j', (_what, changes, events) => {
    expect(waiting(changes).toSorted()).toEqual(events)
    expect(serverArgs(changes)).toEqual(events.length === 0 ? [] : ['--wake', socket])
  })

  test('the hook that waits is a program of its own, beside this one, and nobody waits for it', () => {
    const hook = hooksOf({ claudeVersion: '2.1.200' })['Stop']?.at(-1)?.hooks[0]
    expect(hook).toMatchObject({ type: 'command', command: request.node, args: ['/opt/claudemesh/wake.js', socket], asyncRewake: true })
  })

  test.each<[boolean, string[]]>([
    [true, ['--dangerously-load-development-channels', 'plugin:claudemesh@inline']],
    [true, ['--channels', 'server:other', 'server:plugin:claudemesh:mesh', '-p']],
    [true, ['--channels=plugin:claudemesh@inline']],
    [false, []],
    [false, ['plugin:claudemesh@inline']],
    [false, ['--channels', 'server:other', '--model', 'plugin:claudemesh@inline']],
    [false, ['--channels']],
  ])('the channel is used: %s for %j', (used, claudeArgs) => expect(serverArgs({ claudeArgs })).toEqual(used ? ['--channel'] : []))
})
