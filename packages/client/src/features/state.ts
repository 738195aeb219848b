import { stateId, tokenHash } from '@claudemesh/crypto'
import { contract, MeshError, parseStateKey, stateJson, times, type StateId } from '@claudemesh/protocol'
import type { ConnectionState } from '../connection-state.ts'
import type { Kernel } from '../kernel.ts'
import { checkHistory, readRow, type StateFrame, type StateRow } from '../state-row.ts'
import { SeenVersions, type Seen } from '../state-seen.ts'
import type { StateEntry, StateRefused } from '../types.ts'

const attempts = 32
const mostPages = 1000

type Content = { readonly val: unknown } | { readonly deleted: true }

/** What a write replaces. */
interface Present {
  readonly version: number
  readonly hash?: string | undefined
  /** Whether the key is unset: it never was, or was deleted. */
  readonly unset: boolean
}

/** The mesh's shared key-value state: sealed for its members, each value signed by who wrote it, versions never going back. */
export class State {
  readonly #kernel: Kernel
  readonly #seen: SeenVersions
  #changes: Promise<void> = Promise.resolve()
  /** When the last connection ended; nothing was pushed since. */
  #awaySince: number | undefined
  #connected = false

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#seen = new SeenVersions(kernel.options.clock, kernel.options.statePin)
    kernel.takes.put(contract.state.changed, (change) => this.#changed(change))
    kernel.events.on('connection', ({ phase }) => this.#connection(phase))
  }

  /**
   * Writes a key; the last writer wins. With `ifVersion` only while that is the present version, 0 meaning that the key is unset: otherwise `version_conflict`,
   * which carries the present version.
   */
  async set(key: string, value: unknown, { ifVersion }: { ifVersion?: number | undefined } = {}): Promise<{ version: number }> {
    stateJson(value, this.#form)
    return this.#write(parseStateKey(key), { val: value }, ifVersion)
  }

  /** Deletes a key, as `set` writes one; false when it was unset. */
  async delete(key: string, { ifVersion }: { ifVersion?: number | undefined } = {}): Promise<boolean> {
    const name = parseStateKey(key)
    const present = await this.#ask(name)
    if (present.unset && (ifVersion ?? 0) === 0) return false
    await this.#write(name, { deleted: true }, ifVersion)
    return true
  }

  /** Reads a key; undefined when it is unset. Throws the refusal of a value that does not verify, `rolled_back` for one that is older than what was seen. */
  async get(key: string): Promise<StateEntry | undefined> {
    const { row, refused } = await this.#ask(parseStateKey(key))
    if (refused) throw refused
    return row && !row.deleted ? toEntry(row) : undefined
  }

  /** All keys, or those that begin with `prefix`, by name; and what was refused. */
  async list({ prefix = '' }: { prefix?: string | undefined } = {}): Promise<{ entries: StateEntry[]; refused: StateRefused[] }> {
    const before = this.#seen.snapshot()
    const listed = new Set<string>()
    const rows: StateRow[] = []
    const refused: StateRefused[] = []
    for await (const { entry, tokens } of this.#rows()) {
      const id = entry.stateId ?? `=${entry.key ?? ''}`
      listed.add(id)
      try {
        rows.push(await this.#believe(entry, tokens, before.get(id)))
      } catch (error) {
        refused.push(toRefused(refusalOf(error)))
      }
    }
    for (const [id, seen] of before) if (!listed.has(id) && this.#mustBeThere(id, seen)) refused.push(toRefused(missing()))
    const begins = prefix.normalize('NFC')
    const entries = rows.filter((row) => !row.deleted && row.key.startsWith(begins)).map(toEntry)
    return { entries: entries.toSorted((a, b) => (a.key < b.key ? -1 : 1)), refused }
  }

  get #form(): 'sealed' | 'plain' {
    return this.#kernel.policy.current?.allow.state ?? 'sealed'
  }

  async *#rows(since?: number): AsyncGenerator<{ entry: StateFrame; tokens: string[] }> {
    let cursor: string | undefined
    for (let page = 0; page < mostPages; page++) {
      const { entries, tokens, next } = await this.#kernel.calls.state.list({
        ...(cursor === undefined ? {} : { cursor }),
        ...(since === undefined ? {} : { since }),
      })
      for (const entry of entries) yield { entry, tokens }
      if (next === undefined) return
      cursor = next
    }
    throw new MeshError('bad_frame', 'the list of the state has no end')
  }

  async #write(key: string, content: Content, ifVersion: number | undefined): Promise<{ version: number }> {
    const remembered = this.#seen.get(await this.#idOf(key))
    let present: Present | undefined = remembered && { ...remembered, unset: remembered.deleted }
    for (let attempt = 1; ; attempt++) {
      if (!present || (ifVersion !== undefined && ifVersion !== expected(present))) present = await this.#ask(key)
      if (ifVersion !== undefined && ifVersion !== expected(present)) throw conflict(key, expected(present))
      try {
        return await this.#put(key, content, present)
      } catch (error) {
        if (!(error instanceof MeshError) || error.code !== 'version_conflict' || attempt === attempts) throw error
        present = undefined
      }
    }
  }

  async #put(key: string, content: Content, present: Present): Promise<{ version: number }> {
    const { calls, options, records, self } = this.#kernel
    const version = present.version + 1
    const deleted = 'deleted' in content
    const id = await this.#idOf(key)
    const ts = options.clock.now()
    if (this.#form === 'plain') {
      if (deleted) await calls.state.delete({ version, key })
      else await calls.state.set({ version, key, value: content.val })
      this.#seen.remember(id, { version, deleted }, ts)
      return { version }
    }
    const prev = present.hash === undefined ? {} : { prev: present.hash }
    const { record, token } = await records.seal('state', id, { key, ...content, ver: version, ...prev, ts, name: self.me.name })
    const frame = { version, stateId: id as StateId, record }
    await (deleted ? calls.state.delete(frame) : calls.state.set(frame))
    this.#seen.remember(id, { version, hash: tokenHash(token), deleted }, ts)
    return { version }
  }

  /** The present row as the broker shows it, and what stands against it. Throws `rolled_back`. */
  async #ask(key: string): Promise<Present & { row?: StateRow; refused?: MeshError }> {
    const id = await this.#idOf(key)
    const before = this.#seen.get(id)
    const { tokens, version, writer, chain, updatedBy, updatedAt, ...rest } = await this.#kernel.calls.state.get(
      this.#form === 'plain' ? { key } : { stateId: id as StateId },
    )
    if (writer === undefined || chain === undefined || updatedBy === undefined || updatedAt === undefined) {
      if (before && this.#mustBeThere(id, before)) throw missing(key)
      return { version: Math.max(version, before?.version ?? 0), unset: true }
    }
    if ((rest.stateId ?? `=${rest.key ?? ''}`) !== id) throw new MeshError('bad_record', 'the broker answers with another key than was asked for')
    try {
      const row = await this.#believe({ version, writer, chain, updatedBy, updatedAt, ...rest }, tokens, before)
      return { version, hash: row.hash, unset: row.deleted, row }
    } catch (error) {
      const refused = refusalOf(error)
      if (refused.code === 'rolled_back') throw refused
      if (before && version < before.version)
        throw new MeshError('rolled_back', `the broker shows ${JSON.stringify(key)} in version ${version}, but version ${before.version} was there before`)
      // A value that nobody can verify may be overwritten all the same.
      return { version, unset: false, refused }
    }
  }

  async #believe(frame: StateFrame, tokens: readonly string[], before: Seen | undefined): Promise<StateRow> {
    const { records, keys } = this.#kernel
    const row = await readRow(frame, tokens, { records, keys, form: this.#form })
    checkHistory(row, before, this.#seen.get(row.id))
    this.#seen.remember(row.id, row, row.at)
    return row
  }

  #changed(change: StateFrame & { readonly tokens: readonly string[] }): void {
    // One after the other, so that the changes of a key are told in their order.
    this.#changes = this.#changes.then(() => this.#tell(change)).catch((error: unknown) => this.#missed(error))
  }

  #connection(phase: ConnectionState['phase']): void {
    if (phase === 'ready' && this.#awaySince !== undefined) {
      // The broker's clock may be behind ours; what was told before is not told again.
      const since = Math.max(0, this.#awaySince - times.skew)
      this.#awaySince = undefined
      this.#catchUp(since).catch((error: unknown) => this.#missed(error))
    } else if (phase !== 'ready' && this.#connected) this.#awaySince ??= this.#kernel.options.clock.now()
    this.#connected = phase === 'ready'
  }

  /** Tells what changed while nothing could be pushed. */
  async #catchUp(since: number): Promise<void> {
    for await (const { entry, tokens } of this.#rows(since)) this.#changed({ ...entry, tokens })
  }

  #missed(error: unknown): void {
    this.#kernel.log('info', 'state_change_missed', { error: error instanceof MeshError ? error.code : 'internal' })
  }

  async #tell({ tokens, ...frame }: StateFrame & { readonly tokens: readonly string[] }): Promise<void> {
    const { events } = this.#kernel
    const id = frame.stateId ?? `=${frame.key ?? ''}`
    const known = this.#seen.get(id)
    // Older than what an answer has shown already, or repeated: news to nobody.
    if (known && frame.version < known.version) return
    try {
      const row = await this.#believe(frame, tokens, undefined)
      if (known?.version !== row.version) events.emit('state', { ...toEntry(row), deleted: row.deleted })
    } catch (error) {
      events.emit('stateRefused', toRefused(refusalOf(error)))
    }
  }

  /** Rows of the other form are out of sight while the policy asks for this one. */
  #mustBeThere(id: string, seen: Seen): boolean {
    return id.startsWith('=') === (this.#form === 'plain') && !this.#seen.mayBeGone(seen)
  }

  async #idOf(key: string): Promise<string> {
    return this.#form === 'plain' ? `=${key}` : stateId(await this.#kernel.keys.first(), key)
  }
}

const expected = (present: Present) => (present.unset ? 0 : present.version)

const conflict = (key: string, version: number) =>
  new MeshError('version_conflict', version === 0 ? `${JSON.stringify(key)} is unset` : `${JSON.stringify(key)} is at version ${version}`, { version })

const missing = (key?: string) =>
  new MeshError('rolled_back', `the broker shows nothing where ${key === undefined ? 'a key' : JSON.stringify(key)} was, and nobody’s deletion of it`)

/** What stands against a row; whatever is wrong with the connection or this client is thrown on. */
function refusalOf(error: unknown): MeshError {
  if (!(error instanceof MeshError) || error.retry !== 'never' || error.code === 'closed') throw error
  return error
}

const toRefused = ({ code, message }: MeshError): StateRefused => ({ reason: code, message })

function toEntry({ key, value, version, by, at, verified }: StateRow): StateEntry {
  return { key, value, version, by, at, verified }
}
