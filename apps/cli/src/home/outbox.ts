import { readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { KeptMessage, OutboxEntry, OutboxPort } from '@claudemesh/client'
import { MeshError, limits, times, type MessageId } from '@claudemesh/protocol'
import { z } from 'zod'
import { ifUnlocked } from './lock.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

const entryForm = z.object({
  id: z.string().length(22),
  at: z.int(),
  to: z.array(z.string()),
  session: z.string(),
  chain: z.array(z.string()),
  presence: z.string(),
  frame: z.looseObject({ id: z.string().length(22), nonce: z.string(), to: z.string(), ciphertext: z.string() }),
})
const keptForm = z.object({ keptAt: z.int(), sentAt: z.int().optional(), failedAt: z.int().optional(), failed: z.string().optional() })

/** One message of the outbox is one file: `<order>-<id>.json` while it waits, `.done` with what became of it for a week after. */
interface File {
  readonly name: string
  readonly order: number
  readonly id: string
  readonly waits: boolean
}

export const outboxFolder = (home: string, mesh: string): string => join(home, 'outbox', mesh)

export interface OutboxOptions {
  readonly home: string
  readonly mesh: string
  readonly now: () => number
  /** Told of a file that cannot be read and was put aside. */
  readonly notice: (text: string) => void
}

/** The outbox of one mesh: sealed messages in files of mode 0600, nothing of which can be read with what stands in them. */
export function openOutbox({ home, mesh, now, notice }: OutboxOptions): OutboxPort {
  const folder = outboxFolder(home, mesh)
  const waiting = () => filesIn(folder).filter((file) => file.waits)
  const path = (file: File) => join(folder, file.name)
  return {
    keep: (entry) => {
      for (const each of [home, join(home, 'outbox'), folder]) guarded(() => ensurePrivateFolder(each))
      const others = waiting()
      const text = JSON.stringify(entry)
      refuseOverfull(others.map(path), Buffer.byteLength(text))
      const order = Math.max(entry.at, (others.at(-1)?.order ?? 0) + 1)
      guarded(() => replacePrivate(join(folder, nameOf(order, entry.id, 'json')), text))
    },
    list: () => waiting().flatMap((file) => readEntry(path(file), notice) ?? []),
    settle: (id, outcome) => {
      const file = waiting().find((one) => one.id === id)
      if (!file) return
      const kept = readEntry(path(file), notice)
      if (kept) replacePrivate(join(folder, nameOf(file.order, id, 'done')), JSON.stringify({ keptAt: kept.at, ...outcome } satisfies KeptMessage))
      rmSync(path(file), { force: true })
      forgetOld(folder, now())
    },
    find: (id) => findKept(folder, id, notice),
    exclusively: async (task) => {
      if (waiting().length > 0) await ifUnlocked(join(folder, 'lock'), task)
      else await task()
    },
  }
}

/** What became of the messages that left the outbox in the last week, oldest first. */
export function settledIn(home: string, mesh: string): ({ readonly id: string } & KeptMessage)[] {
  const folder = outboxFolder(home, mesh)
  return filesIn(folder)
    .filter((file) => !file.waits)
    .flatMap((file) => {
      const kept = findKept(folder, file.id as MessageId, () => {})
      return kept ? { id: file.id, ...kept } : []
    })
}

const nameOf = (order: number, id: string, ending: 'json' | 'done') => `${String(order).padStart(15, '0')}-${id}.${ending}`

function filesIn(folder: string): File[] {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return []
  }
  return names.toSorted().flatMap((name) => {
    const [, order, id, ending] = /^(\d{15})-([A-Za-z0-9_-]{22})\.(json|done)$/.exec(name) ?? []
    return order === undefined || id === undefined ? [] : { name, order: Number(order), id, waits: ending === 'json' }
  })
}

function refuseOverfull(paths: readonly string[], more: number): void {
  const bytes = paths.reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), more)
  if (paths.length >= limits.outboxMessages || bytes > limits.outboxBytes) {
    throw new MeshError('outbox_full', `${paths.length} messages wait for the broker already; claudemesh outbox lists them, claudemesh outbox clear drops them`)
  }
}

function readEntry(path: string, notice: (text: string) => void): OutboxEntry | undefined {
  const text = readPrivate(path)
  // Another process was faster.
  if (text === undefined) return undefined
  const parsed = entryForm.safeParse(jsonOf(text))
  if (parsed.success) return parsed.data as unknown as OutboxEntry
  const aside = path.replace(/json$/, 'broken')
  renameSync(path, aside)
  notice(`a message in the outbox was damaged and will not be sent; it was kept as ${aside}`)
  return undefined
}

function findKept(folder: string, id: MessageId, notice: (text: string) => void): KeptMessage | undefined {
  const files = filesIn(folder).filter((file) => file.id === id)
  const done = files.find((file) => !file.waits)
  if (done) {
    const parsed = keptForm.safeParse(jsonOf(readPrivate(join(folder, done.name)) ?? ''))
    if (parsed.success) return parsed.data
  }
  const [file] = files
  const entry = file?.waits ? readEntry(join(folder, file.name), notice) : undefined
  return entry && { keptAt: entry.at }
}

/** Records older than a message's life, and drafts of processes that died while writing. */
function forgetOld(folder: string, now: number): void {
  for (const name of readdirSync(folder)) {
    if (!/\.(done|broken|tmp)$/.test(name)) continue
    const path = join(folder, name)
    const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now
    if (now - touched > (name.endsWith('.tmp') ? 3_600_000 : times.messageLife)) rmSync(path, { force: true })
  }
}

function guarded(write: () => void): void {
  try {
    write()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOSPC' || code === 'EDQUOT' ? 'the disk is full' : message
    throw new MeshError('outbox_unwritable', `the broker is away and the message could not be kept: ${why}`, { cause })
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
