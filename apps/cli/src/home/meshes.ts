import { Failure } from '../failure.ts'
import type { Config, MeshEntry } from './config.ts'

/** The membership that a command means: the named one, or the only one. Throws `no_mesh` with the choice. */
export function pickMesh(config: Config, slug: string | undefined): MeshEntry {
  const slugs = config.meshes.map((entry) => entry.slug)
  if (slug !== undefined) {
    const named = config.meshes.find((entry) => entry.slug === slug)
    if (named) return named
    throw new Failure('no_mesh', `you are in no mesh named ${slug}; ${slugs.length ? `yours: ${slugs.join(', ')}` : noneYet}`)
  }
  const [only, second] = config.meshes
  if (!only) throw new Failure('no_mesh', `you are in no mesh yet; ${noneYet}`)
  if (second) throw new Failure('no_mesh', `you are in several meshes; say which: --mesh ${slugs.join(' | --mesh ')}`)
  return only
}

/** The configuration with one more membership. Throws `already_joined` when the name or the mesh is taken. */
export function addMesh(config: Config, entry: MeshEntry): Config {
  if (config.meshes.some((known) => known.mesh === entry.mesh)) {
    throw new Failure('already_joined', `you are already a member of ${entry.slug}; leave it first: claudemesh leave ${entry.slug}`)
  }
  return { ...config, meshes: [...config.meshes, { ...entry, slug: freeSlug(config, entry.slug) }] }
}

/** Two meshes may call themselves the same: here the later one is told apart by a number. */
export function freeSlug(config: Config, slug: string): string {
  const taken = new Set(config.meshes.map((entry) => entry.slug))
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? slug : `${slug}-${n}`
    if (!taken.has(candidate)) return candidate
  }
}

const noneYet = 'run `claudemesh up` for one on this machine, or `claudemesh join` with an invite'
