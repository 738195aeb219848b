import { watch, type FSWatcher } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Clock } from '@claudemesh/protocol'
import type { Activity } from './delivery/delivery.ts'

export interface RegistryOptions {
  /** The file in which the Claude Code of this session tells other processes what it is doing. */
  readonly path: string
  readonly clock: Clock
  /** What the file says, where that is newer than the last hook and something else. */
  readonly changed: (activity: Activity) => void
}

const pollEvery = 2000
const activities: Readonly<Record<string, Activity>> = { idle: 'idle', busy: 'working', waiting: 'waiting' }

/** Sees what no hook tells, such as an interrupted turn, in Claude Code's registry file. Looks only while the session works. */
export class Registry {
  readonly #o: RegistryOptions
  #known: Activity = 'idle'
  #heardAt = 0
  #watcher: FSWatcher | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: RegistryOptions) {
    this.#o = options
  }

  /** A hook told of this activity: older words of the file do not count. */
  heard(activity: Activity): void {
    this.#known = activity
    this.#heardAt = this.#o.clock.now()
    if (activity === 'idle') this.#rest()
    else this.#start()
  }

  /** What the file says now, for when no hook tells. */
  async refresh(): Promise<void> {
    const told = await read(this.#o.path)
    if (!this.#stopped) this.#take(told)
  }

  stop(): void {
    this.#stopped = true
    this.#rest()
  }

  #rest(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#cancel?.()
    this.#cancel = undefined
  }

  #start(): void {
    if (this.#cancel) return
    this.#poll()
    try {
      // The folder, because the file may be replaced.
      const name = basename(this.#o.path)
      this.#watcher = watch(dirname(this.#o.path), { persistent: false }, (_event, file) => {
        if (file === null || file === name) void this.#look()
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // Then it is polled alone.
    }
  }

  #poll(): void {
    this.#cancel = this.#o.clock.after(pollEvery, () => {
      this.#poll()
      void this.#look()
    })
  }

  async #look(): Promise<void> {
    const told = await read(this.#o.path)
    if (this.#cancel) this.#take(told)
  }

  #take(told: { activity: Activity; at: number } | undefined): void {
    if (!told || told.at <= this.#heardAt || told.activity === this.#known) return
    this.#known = told.activity
    if (told.activity === 'idle') this.#rest()
    else this.#start()
    this.#o.changed(told.activity)
  }
}

async function read(path: string): Promise<{ activity: Activity; at: number } | undefined> {
  try {
    const { status, statusUpdatedAt: at } = JSON.parse(await readFile(path, 'utf8')) as { status?: unknown; statusUpdatedAt?: unknown }
    const activity = activities[String(status)]
    return activity !== undefined && typeof at === 'number' ? { activity, at } : undefined
  } catch {
    // It is being written, or this Claude Code has none.
    return undefined
  }
}
