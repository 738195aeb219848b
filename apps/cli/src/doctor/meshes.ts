import { ready, verifyChain } from '@claudemesh/crypto'
import { MeshError, contractVersion, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadConfig, type MeshEntry } from '../home/config.ts'
import { findRunning } from '../local/runfile.ts'
import { waitingFor } from '../commands/outbox.ts'
import { awayRemedy } from '../session/away.ts'
import { withMesh } from '../session/connect.ts'
import { reach, type Reach } from '../session/reach.ts'
import { fail, pass, warn, type Check } from './check.ts'

/** A broker refuses a session whose clock is five minutes off; half of that is worth a word. */
const skew = { warn: 30_000, fail: 300_000 }

/** The memberships of this user, each with its certificates, its broker and whether that lets them in. */
export async function checkMeshes(context: Context): Promise<Check[]> {
  let meshes: readonly MeshEntry[]
  try {
    meshes = loadConfig(context.home).meshes
  } catch (error) {
    const [says = '', ...remedy] = (error as Error).message.split('; ')
    return [fail('meshes', says, remedy.join('; '))]
  }
  if (meshes.length === 0) return [warn('meshes', 'you are in none yet', 'run claudemesh up, or claudemesh join with an invite')]
  return [...(await Promise.all(meshes.map((entry) => checkMesh(context, entry)))).flat(), ...checkLocal(context)]
}

async function checkMesh(context: Context, entry: MeshEntry): Promise<Check[]> {
  const certificates = await checkChain(context, entry)
  const outbox = checkOutbox(context, entry)
  const broker = await reach(entry, () => context.clock.now())
  if (!broker.reachable) {
    return [certificates, ...outbox, fail(`${entry.slug} broker`, `${entry.url} is away (${broker.reason})`, awayRemedy(entry))]
  }
  const answers = pass(`${entry.slug} broker`, `${entry.url} answers in ${broker.ms} ms${broker.version === undefined ? '' : `, version ${broker.version}`}`)
  return [certificates, ...outbox, answers, ...checkVersion(context, entry, broker), ...checkClock(entry, broker.clockOffset), await checkEntry(context, entry)]
}

async function checkChain({ clock }: Context, entry: MeshEntry): Promise<Check> {
  const check = `${entry.slug} certificates`
  try {
    await ready()
    const chain = verifyChain(entry.chain, { mesh: entry.mesh as MeshId, root: entry.root as RootPubkey, now: clock.now(), ends: 'member' })
    return pass(check, `verify; you are ${chain.member.role} as ${chain.member.name}, without end`)
  } catch (error) {
    return fail(check, (error as Error).message, `claudemesh leave ${entry.slug}, then join with a new invite`)
  }
}

function checkOutbox(context: Context, { mesh, slug }: MeshEntry): Check[] {
  const waiting = waitingFor(context, mesh)
  if (waiting === 0) return []
  const says = `${waiting} ${waiting === 1 ? 'message waits' : 'messages wait'} for the broker`
  return [warn(`${slug} outbox`, says, 'nothing to do: the next session or command sends them once the broker is there, within 24 h')]
}

function checkClock({ slug }: MeshEntry, offset: number | undefined): Check[] {
  if (offset === undefined || Math.abs(offset) < skew.warn) return [pass(`${slug} clock`, 'agrees with the broker')]
  const says = `this machine is ${Math.round(Math.abs(offset) / 1000)} s ${offset < 0 ? 'ahead of' : 'behind'} the broker`
  return [(Math.abs(offset) < skew.fail ? warn : fail)(`${slug} clock`, says, 'set the clock, by NTP for instance')]
}

/** Brokers of other versions are well, as long as they speak the same contract. */
function checkVersion({ version }: Context, entry: MeshEntry, broker: Reach): Check[] {
  const check = `${entry.slug} broker version`
  if (broker.protocol !== undefined && broker.protocol !== contractVersion) {
    const older = entry.data === undefined ? 'ask who runs it to update it' : 'start it anew: claudemesh down, then claudemesh up --detach'
    const remedy = broker.protocol > contractVersion ? 'update claudemesh: npm install -g claudemesh' : older
    return [fail(check, `it speaks version ${broker.protocol} of the protocol, this claudemesh version ${contractVersion}`, remedy)]
  }
  if (broker.version === undefined || broker.version === version || entry.data !== undefined) return []
  return [pass(check, `${broker.version}, this is ${version}; both speak version ${contractVersion} of the protocol`)]
}

/** Whether the broker lets this member in: only a session tells. */
async function checkEntry(context: Context, entry: MeshEntry): Promise<Check> {
  const check = `${entry.slug} membership`
  try {
    const peers = await withMesh(context, entry, { name: entry.name, groups: [] }, (mesh) => Promise.resolve(mesh.peers().length))
    return pass(check, `accepted; ${peers} ${peers === 1 ? 'peer' : 'peers'} online`)
  } catch (error) {
    const gone = error instanceof MeshError && (error.code === 'unauthorized' || error.code === 'revoked')
    const remedy = gone
      ? `you were removed or the mesh is gone: claudemesh leave ${entry.slug}, then join with a new invite`
      : 'look into the log of the broker'
    return fail(check, `refused: ${(error as Error).message}`, remedy)
  }
}

function checkLocal({ home, version }: Context): Check[] {
  const running = findRunning(home)
  if (!running?.version || running.version === version) return []
  return [warn('version', `the broker that runs here is ${running.version}, this is ${version}`, 'restart it: claudemesh down, then claudemesh up --detach')]
}
