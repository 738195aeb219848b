import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Mesh } from '@claudemesh/client'
import { systemClock, type MessageId } from '@claudemesh/protocol'
import { loadConfig } from '../../../apps/cli/src/home/config.ts'
import { pickMesh } from '../../../apps/cli/src/home/meshes.ts'
import { connectMesh } from '../../../apps/cli/src/session/connect.ts'
import { freshStore } from '../../harness/fresh-store.ts'
import { prepareHome, scrubbedEnv } from './claude-home.ts'
import { claudeBin } from './install.ts'
import { MessagesApi } from './messages-api.ts'

export const cli = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url))

/** A machine of one user: a real broker from `claudemesh up`, the scripted API, and folders of its own. Disposing leaves nothing behind. */
export class World implements AsyncDisposable {
  readonly folder: string
  readonly project: string
  readonly api: MessagesApi
  readonly #stack = new AsyncDisposableStack()

  private constructor(folder: string, api: MessagesApi) {
    this.folder = folder
    this.project = join(folder, 'project')
    this.api = api
  }

  static async start(): Promise<World> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'claudemesh-test-')))
    const world = new World(folder, await MessagesApi.start())
    mkdirSync(world.project)
    world.#stack.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
    world.#stack.use(world.api)
    try {
      await freshStore(join(folder, 'mesh', 'data'))
      world.#stack.defer(() => void world.claudemesh('down'))
      world.claudemesh('up', '--port', '0', '--detach')
      return world
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Ends it with the world, before everything that was there earlier. */
  own<T extends AsyncDisposable>(part: T): T {
    return this.#stack.use(part)
  }

  /** The environment of one user session, whose Claude Code talks to the API under that name. */
  env(session: string): NodeJS.ProcessEnv {
    const home = join(this.folder, `home-${session}`)
    prepareHome(home, this.project)
    const path = [claudeBin, dirname(process.execPath), process.env['PATH']].join(delimiter)
    return { ...scrubbedEnv({ home, apiUrl: this.api.url(session), path }), CLAUDEMESH_HOME: join(this.folder, 'mesh') }
  }

  /** Runs the CLI to its end and gives what it printed; fails when it fails. */
  claudemesh(...args: string[]): string {
    const run = spawnSync(process.execPath, [cli, ...args], { cwd: this.project, env: this.env('shell'), encoding: 'utf8', timeout: 60_000 })
    if (run.status !== 0) throw new Error(`claudemesh ${args.join(' ')} ended with ${run.status ?? run.signal}: ${run.stderr}`)
    return run.stdout
  }

  /** A peer without Claude Code in the same mesh. */
  async peer(name: string): Promise<Mesh> {
    const home = join(this.folder, 'mesh')
    return this.own(await connectMesh({ home, clock: systemClock }, pickMesh(loadConfig(home), undefined), { name, groups: [] }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** Resolves when all of these peers are there. */
export function present(mesh: Mesh, ...names: string[]): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      const there = new Set(mesh.peers().map((peer) => peer.name))
      if (!names.every((name) => there.has(name))) return
      off()
      resolve()
    }
    const off = mesh.on('peer', look)
    look()
  })
}

/** Settles when the recipient says this of the message: that it is held, or proof that its model has seen it. */
export function hears(sender: Mesh, word: 'held' | 'proven', id: MessageId): Promise<void> {
  return new Promise((resolve) => {
    const off = sender.on('delivery', (update) => {
      if (update.id !== id || update[word] !== true) return
      off()
      resolve()
    })
  })
}
