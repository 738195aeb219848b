import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { openOutbox, settledIn } from '../home/outbox.ts'
import { columns, plainText, type Result } from '../output.ts'
import { age } from '../session/why-silent.ts'

/** What waits on this machine for the brokers of this user's meshes, and what failed to leave it; `clear` drops what waits. */
export function outbox(context: Context, action: string | undefined, flags: { mesh?: string }): Result {
  if (action !== undefined && action !== 'clear') throw new Failure('usage', `outbox knows no ${action}; there is outbox and outbox clear`)
  const config = loadConfig(context.home)
  const meshes = flags.mesh === undefined ? config.meshes : [pickMesh(config, flags.mesh)]
  return action === 'clear' ? clear(context, meshes) : list(context, meshes)
}

type Meshes = readonly { readonly slug: string; readonly mesh: string }[]

const portOf = ({ home, clock, stderr }: Context, mesh: string) =>
  openOutbox({ home, mesh, now: () => clock.now(), notice: (text) => void stderr.write(`claudemesh: ${text}\n`) })

/** How many messages wait for the broker of a mesh. */
export function waitingFor(context: Context, mesh: string): number {
  return portOf(context, mesh).list().length
}

function list(context: Context, meshes: Meshes): Result {
  const now = context.clock.now()
  const waiting = meshes.flatMap(({ slug, mesh }) =>
    portOf(context, mesh)
      .list()
      .map(({ id, at, to }) => ({ mesh: slug, id, at, to })),
  )
  const failed = meshes.flatMap(({ slug, mesh }) =>
    settledIn(context.home, mesh).flatMap(({ id, failedAt, failed: reason }) => (reason === undefined ? [] : { mesh: slug, id, failedAt, reason })),
  )
  const rows = [
    ...waiting.map(({ mesh, id, at, to }) => [mesh, id, `to ${plainText(to.join(', '))}`, `waits for ${age(now - at)}`]),
    ...failed.map(({ mesh, id, reason }) => [mesh, id, '', `failed: ${reason}`]),
  ]
  return { json: { waiting, failed }, text: rows.length ? columns(rows) : 'nothing waits' }
}

function clear(context: Context, meshes: Meshes): Result {
  const dropped = meshes.flatMap(({ mesh }) => {
    const port = portOf(context, mesh)
    return port.list().map(({ id }) => {
      port.settle(id, { failedAt: context.clock.now(), failed: 'cleared' })
      return id
    })
  })
  return { json: { dropped }, text: `${dropped.length} dropped` }
}
