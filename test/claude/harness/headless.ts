import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { cli, type World } from './world.ts'

export interface StreamEvent {
  readonly type: string
  readonly subtype?: string
  readonly [field: string]: unknown
}

const deadline = 60_000

/** A Claude Code started by `claudemesh launch`, driven over stream-json. */
export class Headless implements AsyncDisposable {
  readonly events: StreamEvent[] = []
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  readonly #looks = new Set<() => void>()
  #errors = ''

  constructor(world: World, session: string, options: { launch: readonly string[]; claude?: readonly string[]; env?: NodeJS.ProcessEnv }) {
    const claude = [
      '-p',
      '--input-format',
      'stream-json',
      '--output-format',
      'stream-json',
      '--verbose',
      '--permission-mode',
      'manual',
      ...(options.claude ?? []),
    ]
    this.#child = spawn(process.execPath, [cli, 'launch', ...options.launch, '-y', '--', ...claude], {
      cwd: world.project,
      env: { ...world.env(session), ...options.env },
    })
    this.#exit = new Promise((resolve) => this.#child.on('exit', resolve))
    this.#child.stderr?.on('data', (part: Buffer) => (this.#errors += part.toString()))
    if (!this.#child.stdout) throw new Error('no stdout')
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line) as StreamEvent)
      for (const look of this.#looks) look()
    })
  }

  say(text: string): void {
    this.#child.stdin?.write(`${JSON.stringify({ type: 'user', message: { role: 'user', content: text } })}\n`)
  }

  /** How many turns have ended. */
  get turns(): number {
    return this.events.filter((event) => event.type === 'result').length
  }

  /** Says it and waits for the end of that turn; the answers of its tools in order. */
  async turn(text: string): Promise<string[]> {
    const from = this.events.length
    const ended = this.until('the end of the turn', () => this.events.slice(from).some((event) => event.type === 'result'))
    this.say(text)
    await ended
    return this.events.slice(from).flatMap(toolResults)
  }

  until(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#looks.delete(look)
        reject(new Error(`${what} did not come; stderr: ${this.#errors}; events: ${JSON.stringify(this.events).slice(-2000)}`))
      }, deadline)
      const look = () => {
        if (!holds()) return
        clearTimeout(timer)
        this.#looks.delete(look)
        resolve()
      }
      this.#looks.add(look)
      look()
    })
  }

  /** Closes its input, as the end of a headless session, and gives the exit code of the launch. */
  async end(): Promise<number | null> {
    this.#child.stdin?.end()
    return this.#exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exit
  }
}

function toolResults(event: StreamEvent): string[] {
  if (event.type !== 'user') return []
  const { content } = event['message'] as { content: string | { type: string; content?: string | { text?: string }[] }[] }
  if (typeof content === 'string') return []
  return content
    .filter((block) => block.type === 'tool_result')
    .map((block) => (typeof block.content === 'string' ? block.content : (block.content ?? []).map((part) => part.text ?? '').join('\n')))
}
