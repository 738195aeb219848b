import { text as readAll } from 'node:stream/consumers'
import type { Mesh, StateEntry } from '@claudemesh/client'
import { matchesKey } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import { columns, plainText, type Output, type Result } from '../output.ts'
import { connectMesh, withMesh } from '../session/connect.ts'
import { untilClosed } from '../session/until-closed.ts'
import { StopSignal } from '../until-stopped.ts'

export type StateAction = 'get' | 'set' | 'list' | 'delete' | 'watch'

export interface StateFlags {
  readonly mesh?: string
  readonly name?: string
  readonly ifVersion?: number
}

/** The shared state from a shell: `get <key>`, `set <key> <value>`, `list [prefix]`, `delete <key>`, `watch [pattern]`. */
export async function state(context: Context, output: Output, action: StateAction, args: readonly (string | undefined)[], flags: StateFlags): Promise<void> {
  const [key, value] = args
  if (action !== 'set' && value !== undefined) throw new Failure('usage', `state ${action} takes no value`)
  if (action === 'watch') return watch(context, output, key ?? '*', flags)
  const task = await taskOf(context, action, key, value, flags)
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  output.result(await withMesh(context, entry, parsePersona(flags, entry.name), task))
}

type Task = (mesh: Mesh) => Promise<Result>

async function taskOf(
  context: Context,
  action: Exclude<StateAction, 'watch'>,
  key: string | undefined,
  value: string | undefined,
  flags: StateFlags,
): Promise<Task> {
  if (action === 'list') return (mesh) => list(mesh, key ?? '')
  if (key === undefined) throw new Failure('usage', `which key? claudemesh state ${action} <key>`)
  if (action === 'get') return (mesh) => get(mesh, key)
  if (action === 'delete') return (mesh) => remove(mesh, key, flags)
  if (value === undefined) throw new Failure('usage', 'which value? claudemesh state set <key> <value>; - reads it from stdin')
  const json = parse(value === '-' ? (await readAll(context.stdin)).replace(/\n$/, '') : value)
  return (mesh) => set(mesh, key, json, flags)
}

async function get(mesh: Mesh, key: string): Promise<Result> {
  const entry = await mesh.state.get(key)
  if (!entry) throw new Failure('unset', `${key} is unset`)
  return { json: entry, text: shown(entry.value) }
}

async function set(mesh: Mesh, key: string, value: unknown, { ifVersion }: StateFlags): Promise<Result> {
  const { version } = await mesh.state.set(key, value, { ifVersion })
  return { json: { key, version }, text: `${plainText(key)} is set (version ${version})` }
}

async function remove(mesh: Mesh, key: string, { ifVersion }: StateFlags): Promise<Result> {
  const deleted = await mesh.state.delete(key, { ifVersion })
  return { json: { key, deleted }, text: deleted ? `${plainText(key)} is deleted` : `${plainText(key)} was unset` }
}

async function list(mesh: Mesh, prefix: string): Promise<Result> {
  const { entries, refused } = await mesh.state.list({ prefix })
  const rows = columns(
    entries.map((entry) => [plainText(entry.key), `v${entry.version}`, writer(entry), new Date(entry.at).toISOString(), oneLine(entry.value)]),
  )
  const warnings = refused.map(({ reason, message }) => `refused: ${reason}: ${plainText(message)}`)
  return { json: { entries, refused }, text: rows.length + warnings.length === 0 ? 'nothing is set' : [...rows, ...warnings] }
}

/** Prints each change of a matching key until Ctrl-C; after a lost connection, what changed meanwhile. */
async function watch(context: Context, output: Output, pattern: string, flags: StateFlags): Promise<void> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const mesh = await connectMesh(context, entry, parsePersona(flags, entry.name))
  try {
    using stop = new StopSignal()
    const ended = follow(mesh, pattern, output)
    output.note(`watching ${plainText(pattern)} in ${entry.slug}`)
    await Promise.race([ended, stop.stopped])
  } finally {
    await mesh.close({ bye: true })
  }
}

function follow(mesh: Mesh, pattern: string, output: Output): Promise<never> {
  mesh.on('state', (change) => matchesKey(pattern, change.key) && print(change, output))
  mesh.on('stateRefused', ({ reason, message }) => output.note(`refused: ${reason}: ${plainText(message)}`))
  return untilClosed(mesh, output)
}

function print(change: StateEntry & { readonly deleted: boolean }, output: Output): void {
  const what = change.deleted ? 'deleted' : oneLine(change.value)
  output.result({ json: change, text: `${plainText(change.key)}  v${change.version}  ${writer(change)}  ${what}` })
}

/** JSON where it is JSON, otherwise the text itself. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const shown = (value: unknown) => plainText(typeof value === 'string' ? value : JSON.stringify(value, null, 2))
/** A long value is shown by its beginning: state get shows it whole. */
const oneLine = (value: unknown) => {
  const text = plainText(JSON.stringify(value))
  return text.length <= 200 ? text : `${text.slice(0, 199).replace(/[\uD800-\uDBFF]$/, '')}…`
}
const writer = ({ by, verified }: StateEntry) => `${by.name}${verified ? '' : ' (unverified)'}`
