import { commitMeshKey, newMeshKey, sealBack, sealKeybox, verifyChain, type Epoch, type MeshKey, type Policy, type Revoked } from '@claudemesh/crypto'
import { times, type InvitePubkey, type MemberPubkey } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { listMembers } from './members.ts'

// A box takes a fifth of a millisecond: more at once would hold up everything else.
const boxesPerRequest = 256

/** An epoch whose key is made and handed to the broker for every reader, but which no policy names yet. */
export interface Prepared {
  readonly epoch: Epoch
  readonly key: MeshKey
}

/** Makes the key of the epoch after this policy's, and deposits a box of it for each member and open invite that these revocations leave. Throws `no_mesh_key`. */
export async function prepareEpoch(kernel: Kernel, current: Policy, revoked: Revoked): Promise<Prepared> {
  const { random, keys, options, calls } = kernel
  const { mesh, member } = options.identity
  const { epoch: before } = current
  const number = (before?.number ?? 0) + 1
  const key = newMeshKey(random)
  const mk = commitMeshKey(mesh, number, key)
  const back = before && sealBack({ mesh, epoch: number, key, before: await keys.of(before.number), earlier: before.back, random })
  const readers = await readersOf(kernel, revoked)
  for (let i = 0; i < readers.length; i += boxesPerRequest) {
    const boxes = readers.slice(i, i + boxesPerRequest).map((reader) => {
      const { n, c } = sealKeybox({ mesh, epoch: number, key, reader, rotator: member, random })
      return { reader, n, c }
    })
    await calls.keys.put({ epoch: number, mk, boxes })
  }
  return { epoch: { number, mk, ...(back && { back }) }, key }
}

async function readersOf({ calls, options }: Kernel, revoked: Revoked): Promise<(MemberPubkey | InvitePubkey)[]> {
  const { mesh, root } = options.identity
  const now = options.clock.now()
  const members = await listMembers(calls, { mesh, root, now, revoked })
  const { invites } = await calls.session.listInvites({})
  const open = invites.flatMap(({ chain, used, createdAt, invitePubkey }) => {
    try {
      // As of its own beginning, with the end judged generously: the broker's clock decides which invites still admit.
      const { invite } = verifyChain(chain, { mesh, root, now: createdAt, ends: 'invite', revoked })
      return invite.key === invitePubkey && used < invite.max && invite.exp > now - times.skew ? [invite.key] : []
    } catch {
      return []
    }
  })
  return [...new Set([...members.filter((member) => !member.revoked).map((member) => member.key), ...open])]
}
