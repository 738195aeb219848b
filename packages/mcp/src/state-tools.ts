import type { Mesh, StateEntry } from '@claudemesh/client'
import { MeshError, type ToolInput, type tools } from '@claudemesh/protocol'
import { visible } from './visible.ts'

type StateTools = typeof tools.state

/** Most characters of one value in a list, and of all of them; get_state shows a value whole. */
const longestListed = 1000
const longestList = 60_000

export async function setState(mesh: Mesh, { key, value, if_version, delete: remove = false }: ToolInput<StateTools['set']>): Promise<object> {
  if (remove !== (value === undefined)) throw new MeshError('bad_value', 'give either a value, or delete: true')
  const options = { ifVersion: if_version }
  if (remove) return { key, deleted: await mesh.state.delete(key, options) }
  return { key, ...(await mesh.state.set(key, value, options)) }
}

export async function getState(mesh: Mesh, { key }: ToolInput<StateTools['get']>): Promise<object> {
  const entry = await mesh.state.get(key)
  return entry ? rowOf(entry, entry.value) : { key, value: null, unset: true }
}

export async function listState(mesh: Mesh, { prefix }: ToolInput<StateTools['list']>): Promise<object> {
  const { entries, refused } = await mesh.state.list({ prefix })
  let length = 0
  const shown = entries.map((entry) => {
    const row = rowOf(entry, short(entry.value, longestListed))
    length += JSON.stringify(row).length
    return length > longestList ? undefined : row
  })
  const state = shown.filter((row) => row !== undefined)
  return {
    state,
    ...(state.length < entries.length ? { more: `${entries.length - state.length} more keys: list them by prefix` } : {}),
    ...(refused.length > 0 ? { refused: refused.map(({ reason, message }) => `${reason}: ${message}`) } : {}),
  }
}

/** The value, or the beginning of its JSON where that takes over `most` characters to show. */
export function short(value: unknown, most: number): unknown {
  const json = JSON.stringify(value)
  const shown = visible(json).length
  if (shown <= most) return value
  return `${json.slice(0, Math.floor((most * json.length) / shown)).toWellFormed()}… (${json.length} characters; get_state shows it whole)`
}

function rowOf({ key, version, by, at, verified }: StateEntry, value: unknown): object {
  return {
    key,
    value,
    version,
    by: by.name,
    ...(by.member === undefined || by.member === by.name ? {} : { member: by.member }),
    at: new Date(at).toISOString(),
    ...(verified ? {} : { verified }),
  }
}
