import { renameSync } from 'node:fs'
import { userInfo } from 'node:os'
import { createMesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { seedOf, toB64u } from '@claudemesh/crypto'
import { MeshError, parseName } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { freeSlug, addMesh } from '../home/meshes.ts'
import { loadConfig, updateConfig, type MeshEntry } from '../home/config.ts'
import { saveRootKey, rootKeyFile } from '../home/root-key.ts'
import { connectMesh } from '../session/connect.ts'
import { entryOf } from '../session/identity.ts'

/** The membership that belongs to an embedded broker's data folder: the one that is there, or a new mesh founded now. */
export async function ensureLocalMesh(context: Context, broker: { url: string; data: string }): Promise<MeshEntry> {
  const url = `${broker.url}/ws`
  const known = loadConfig(context.home).meshes.find((entry) => entry.data === broker.data)
  if (!known) return found(context, url, broker.data)
  if (await isMember(context, { ...known, url })) return known.url === url ? known : move(context, known, url)
  // The folder was emptied: that mesh exists nowhere any more.
  await forget(context, known)
  return found(context, url, broker.data)
}

/** Brings a new mesh to the broker at `url` and keeps what belongs to its founder. */
export async function foundMesh(
  context: Context,
  options: { url: string; slug: string; name: string; data?: string },
): Promise<{ entry: MeshEntry; rootKey: string }> {
  const local = freeSlug(loadConfig(context.home), options.slug)
  const created = await createMesh({ url: options.url, slug: options.slug, name: options.name, clock: context.clock, dial: nodeDial, random: nodeRandom })
  const rootKey = saveRootKey(context.home, local, toB64u(seedOf(created.rootKey)))
  const entry = { ...entryOf(created, options.name, 'admin'), slug: local, ...(options.data === undefined ? {} : { data: options.data }) }
  await updateConfig(context.home, (config) => addMesh(config, entry))
  return { entry, rootKey }
}

/** The name a member bears when nobody said another: the user's name on this machine, where that is a name. */
export function defaultName(): string {
  try {
    return parseName(userInfo().username)
  } catch {
    return 'founder'
  }
}

async function found(context: Context, url: string, data: string): Promise<MeshEntry> {
  return (await foundMesh(context, { url, slug: 'local', name: defaultName(), data })).entry
}

async function isMember(context: Context, entry: MeshEntry): Promise<boolean> {
  try {
    const mesh = await connectMesh(context, entry, { name: entry.name, groups: [] })
    await mesh.close({ bye: true })
    return true
  } catch (error) {
    if (error instanceof MeshError && error.code === 'unauthorized') return false
    throw error
  }
}

async function move(context: Context, entry: MeshEntry, url: string): Promise<MeshEntry> {
  const moved = { ...entry, url }
  await updateConfig(context.home, (config) => ({ ...config, meshes: config.meshes.map((known) => (known.mesh === entry.mesh ? moved : known)) }))
  return moved
}

async function forget(context: Context, entry: MeshEntry): Promise<void> {
  await updateConfig(context.home, (config) => ({ ...config, meshes: config.meshes.filter((known) => known.mesh !== entry.mesh) }))
  const file = rootKeyFile(context.home, entry.slug)
  try {
    renameSync(file, `${file}.${context.clock.now()}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
