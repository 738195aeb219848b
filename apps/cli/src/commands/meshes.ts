import { rmSync } from 'node:fs'
import { ready, verifyPolicy } from '@claudemesh/crypto'
import type { MeshId, RootPubkey } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadConfig, updateConfig, type MeshEntry } from '../home/config.ts'
import { outboxFolder } from '../home/outbox.ts'
import { pickMesh } from '../home/meshes.ts'
import { policyPin } from '../home/policy-pin.ts'
import { waitingFor } from './outbox.ts'
import { invocation } from '../invocation.ts'
import { reach } from '../session/reach.ts'
import { sessionRow } from '../session/fare.ts'
import { liveSessions } from '../session/vitals.ts'
import { columns, type Output, type Result } from '../output.ts'

/** The meshes of this user. */
export function list(context: Context): Result {
  const { meshes } = loadConfig(context.home)
  const rows = meshes.map((entry) => [entry.slug, entry.role, `as ${entry.name}`, entry.url])
  return {
    json: { meshes: meshes.map(({ slug, mesh, url, name, role }) => ({ slug, mesh, url, name, role })) },
    text: rows.length ? columns(rows) : `no meshes yet; try ${invocation(context)} up`,
  }
}

/** Forgets a membership: its member key and what waits in its outbox are destroyed on this machine. */
export async function leave(context: Context, slug: string): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), slug)
  await updateConfig(context.home, (config) => ({ ...config, meshes: config.meshes.filter((known) => known.mesh !== entry.mesh) }))
  rmSync(outboxFolder(context.home, entry.mesh), { recursive: true, force: true })
  return { json: { left: entry.slug, mesh: entry.mesh }, text: `left ${entry.slug}; coming back takes a new invite` }
}

/** Whether each mesh's broker answers, and how the sessions on this machine fare. Failed when a broker does not. */
export async function status(context: Context, output: Output, flags: { mesh?: string }): Promise<Result & { failed: boolean }> {
  const config = loadConfig(context.home)
  const meshes = flags.mesh === undefined ? config.meshes : [pickMesh(config, flags.mesh)]
  const states = await Promise.all(
    meshes.map(async (entry) => ({
      slug: entry.slug,
      url: entry.url,
      outbox: waitingFor(context, entry.mesh),
      ...(await reach(entry)),
      ...(await pinned(context, entry)),
    })),
  )
  const rows = states.map((one) => [
    one.slug,
    one.reachable ? output.style('green', 'reachable') : output.style('red', 'unreachable'),
    one.url,
    `${one.reason ?? `${one.ms} ms`}${one.outbox > 0 ? `; ${one.outbox} in the outbox` : ''}`,
    one.policy ? `epoch ${one.policy.epoch ?? 'none'}; ${stored(one.policy)}` : '',
  ])
  const sessions = liveSessions(context.home)
  return {
    failed: states.some((one) => !one.reachable),
    json: { meshes: states, sessions },
    text: [
      ...(rows.length ? columns(rows) : [`no meshes yet; try ${invocation(context)} up`]),
      ...columns(sessions.map((session) => sessionRow(session, context.clock.now()))),
    ],
  }
}

/** The newest policy that this user has seen of the mesh. */
async function pinned(context: Context, entry: MeshEntry): Promise<{ policy?: { v: number; epoch?: number; state: string; memory: string; files: string } }> {
  const token = policyPin(context.home, entry.mesh).load()
  if (token === undefined) return {}
  await ready()
  const { v, epoch, allow } = verifyPolicy(token, { mesh: entry.mesh as MeshId, root: entry.root as RootPubkey })
  return { policy: { v, ...(epoch && { epoch: epoch.number }), state: allow.state, memory: allow.memory, files: allow.files } }
}

const stored = ({ state, memory, files }: { state: string; memory: string; files: string }) =>
  state === memory && memory === files ? `state, memory and files ${state}` : `state ${state}, memory ${memory}, files ${files}`
