import { join } from 'node:path'
import type { Context } from '../context.ts'
import { withLock } from '../home/lock.ts'
import { ensurePrivateFolder } from '../home/private-file.ts'
import { digest, makeFolder, readText, removeFolders, replaceText } from './files.ts'
import { guide, skill } from './guide.ts'
import { hooksPart, serverPart, wholePart, type Part } from './parts.ts'
import { claudePlaces } from './places.ts'
import { loadRecord, saveRecord, type RecordEntry } from './record.ts'

interface Place {
  readonly path: string
  readonly kind: RecordEntry['kind']
  readonly part: Part
}

interface Change {
  readonly path: string
  readonly from: string | undefined
  readonly to: string | undefined
}

/** Registers server, hooks and guide with Claude Code; answers the files that had to change. All of them are changed, or none. */
export function register(context: Context): Promise<string[]> {
  return locked(context, () => {
    const known = loadRecord(context.home)
    const plans = places(context).map((place) => planAdd(place, known[place.path]))
    const changes = plans.filter((plan) => plan.from !== plan.to)
    if (changes.length === 0) return []
    const folders = new Map(changes.map(({ path }) => [path, makeFolder(path)]))
    const entryOf = ({ path, kind, base, to }: (typeof plans)[number]): RecordEntry => {
      const made = known[path]?.folders ?? []
      return { kind, before: base ?? null, after: digest(to), folders: made.length > 0 ? made : (folders.get(path) ?? []) }
    }
    // First written down, then done: what a crash leaves half done can be undone.
    saveRecord(context.home, { ...known, ...Object.fromEntries(plans.map((plan) => [plan.path, entryOf(plan)])) })
    write(changes)
    return changes.map((change) => change.path)
  })
}

/** Takes server, hooks and guide out again: byte for byte where nobody else wrote since, else ours alone. Answers the files that changed. */
export function unregister(context: Context): Promise<string[]> {
  return locked(context, () => {
    const known = loadRecord(context.home)
    const ours = places(context)
    const elsewhere = Object.entries(known).filter(([path]) => ours.every((place) => place.path !== path))
    const all = [...ours, ...elsewhere.map(([path, { kind }]) => ({ path, kind, part: partOf(context, kind, path) }))]
    const changes = all.map((place) => planRemove(place, known[place.path])).filter((change) => change.from !== change.to)
    write(changes)
    saveRecord(context.home, {})
    removeFolders(Object.values(known).flatMap(({ folders }) => folders))
    return changes.map((change) => change.path)
  })
}

/** Which of the files hold what `install` puts there, in this version. */
export function registered(context: Context): { readonly path: string; readonly kind: RecordEntry['kind']; readonly state: 'current' | 'absent' | 'other' }[] {
  const known = loadRecord(context.home)
  return places(context).map((place) => {
    const { from, to } = planAdd(place, known[place.path])
    const absent = from === undefined || place.part.remove(place.path, from, undefined) === from
    return { path: place.path, kind: place.kind, state: from === to ? 'current' : absent ? 'absent' : 'other' }
  })
}

function places(context: Context): Place[] {
  const { state, settings, skill: skillFile } = claudePlaces(context.env)
  const guideFile = join(context.home, 'CLAUDEMESH.md')
  const kinds = [
    [state, 'server'],
    [settings, 'hooks'],
    [skillFile, 'file'],
    [guideFile, 'file'],
  ] as const
  return kinds.map(([path, kind]) => ({ path, kind, part: partOf(context, kind, path) }))
}

function partOf({ env, home, node, script }: Context, kind: RecordEntry['kind'], path: string): Part {
  if (kind === 'hooks') return hooksPart({ command: node, args: [script, 'card', ...(env['CLAUDEMESH_HOME'] ? ['--home', home] : [])] })
  if (kind === 'file') return wholePart(path === join(home, 'CLAUDEMESH.md') ? guide() : skill())
  const own = env['CLAUDEMESH_HOME'] ? { CLAUDEMESH_HOME: home } : {}
  return serverPart({ type: 'stdio', command: node, args: [script, 'mcp'], env: own, alwaysLoad: true })
}

function planAdd({ path, kind, part }: Place, known: RecordEntry | undefined) {
  const from = readText(path)
  const base = from === undefined ? undefined : baseOf(path, part, from, known)
  return { path, kind, from, base, to: part.add(path, base) }
}

function planRemove({ path, part }: Place, known: RecordEntry | undefined): Change {
  const from = readText(path)
  return { path, from, to: from === undefined ? undefined : baseOf(path, part, from, known) }
}

/** The text that would stand there without us. */
function baseOf(path: string, part: Part, from: string, known: RecordEntry | undefined): string | undefined {
  if (known && known.after === digest(from)) return known.before ?? undefined
  return part.remove(path, from, known?.before ?? undefined)
}

/** All changes, or none. */
function write(changes: readonly Change[]): void {
  const done: Change[] = []
  try {
    for (const change of changes) {
      replaceText(change.path, change.to, change.from)
      done.push(change)
    }
  } catch (error) {
    for (const { path, from, to } of done.toReversed()) replaceText(path, from, to)
    throw error
  }
}

async function locked<T>(context: Context, task: () => T): Promise<T> {
  ensurePrivateFolder(context.home)
  return withLock(join(context.home, 'install.lock'), task)
}
