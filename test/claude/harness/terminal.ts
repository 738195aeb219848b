import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { claudeBin } from './install.ts'
import { cli, type World } from './world.ts'

/** A Claude Code in a terminal of its own, where nobody types: started by `claudemesh launch`, or without `launch` plainly. */
export class Terminal implements AsyncDisposable {
  readonly #socket: string

  constructor(world: World, session: string, options: { launch?: readonly string[]; claude?: readonly string[]; env?: NodeJS.ProcessEnv }) {
    this.#socket = join(world.folder, `tmux-${session}`)
    const start = options.launch ? [process.execPath, cli, 'launch', ...options.launch, '-y', '--quiet', '--'] : [join(claudeBin, 'claude')]
    const command = [...start, ...(options.claude ?? [])].map(quoted).join(' ')
    this.#tmux(['-f', '/dev/null', 'new-session', '-d', '-x', '160', '-y', '50', '-c', world.project, command], { ...world.env(session), ...options.env })
    this.#tmux(['set-option', '-g', 'remain-on-exit', 'on'])
  }

  /** What stands on the screen. */
  screen(): string {
    return this.#tmux(['capture-pane', '-p'])
  }

  /** Puts the text into the prompt as a paste and sends it off once it stands there: an Enter that comes with a paste is part of it. */
  async type(text: string): Promise<void> {
    this.#tmux(['set-buffer', text])
    this.#tmux(['paste-buffer', '-p', '-d'])
    const end = text.slice(-12)
    await this.shows((screen) => screen.replaceAll(/\s+/g, '').includes(end.replaceAll(/\s+/g, '')) || screen.includes('[Pasted text'))
    this.#tmux(['send-keys', 'Enter'])
  }

  /** Presses a key by its name in tmux. */
  press(key: string): void {
    this.#tmux(['send-keys', key])
  }

  /** Resolves when the screen is such; fails after half a minute, quoting it. */
  async shows(holds: (screen: string) => boolean): Promise<void> {
    const latest = performance.now() + 30_000
    while (!holds(this.screen())) {
      if (performance.now() > latest) throw new Error(`the terminal still shows:\n${this.screen()}`)
      await nextTurn()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'])
  }

  #tmux(args: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
    const run = spawnSync('tmux', ['-S', this.#socket, ...args], { env, encoding: 'utf8' })
    if (run.error) throw new Error('tmux is needed for the tests of Claude Code; install it', { cause: run.error })
    if (run.status !== 0) throw new Error(`tmux ${args[0]}: ${run.stderr}`)
    return run.stdout
  }
}

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`
