// The keys of a mesh's epochs, in the hands of its admin.
import { commitMeshKey, issuePolicy, newMeshKey, sealBack, sealKeybox, type Epoch, type MemberKey } from '@claudemesh/crypto'
import type { InvitePubkey, MemberPubkey } from '@claudemesh/protocol'
import { nobody, random, type Frame, type Peer, type TestMesh } from './kit.ts'

const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const

/** The keys of a mesh's epochs, as its admin makes them. */
export class Keys {
  readonly mesh: TestMesh
  readonly keys: Uint8Array[] = []
  epoch: Epoch | undefined

  constructor(mesh: TestMesh) {
    this.mesh = mesh
  }

  /** The epoch after this one, not told to anybody. */
  prepare(): { epoch: Epoch; key: Uint8Array } {
    const number = (this.epoch?.number ?? 0) + 1
    const key = newMeshKey(random)
    const before = this.keys.at(-1)
    const back = before && sealBack({ mesh: this.mesh.id, epoch: number, key, before, earlier: this.epoch?.back, random })
    return { epoch: { number, mk: commitMeshKey(this.mesh.id, number, key), ...(back && { back }) }, key }
  }

  box(reader: MemberPubkey | InvitePubkey, by: MemberKey, { epoch, key }: { epoch: Epoch; key: Uint8Array }) {
    const { n, c } = sealKeybox({ mesh: this.mesh.id, epoch: epoch.number, key, reader, rotator: by, random })
    return { reader, n, c }
  }

  put(peer: Peer, readers: readonly (MemberPubkey | InvitePubkey)[], made: { epoch: Epoch; key: Uint8Array }): Promise<Frame> {
    const boxes = readers.map((reader) => this.box(reader, peer.member.key, made))
    return peer.wire.ask({ type: 'put_keyboxes', epoch: made.epoch.number, mk: made.epoch.mk, boxes })
  }

  /** Puts the policy with this epoch in force. */
  async begin(peer: Peer, made: { epoch: Epoch; key: Uint8Array }, revoked: Parameters<TestMesh['makePolicy']>[1] = nobody): Promise<Frame> {
    const { mesh } = this
    const v = Number(JSON.parse(Buffer.from(mesh.policy.split('.')[0] ?? '', 'base64url').toString()).v) + 1
    const policy = issuePolicy({
      mesh: mesh.id,
      issuer: mesh.root,
      v,
      prev: mesh.policy,
      iat: mesh.clock.now(),
      revoked,
      allow,
      brokers: [],
      epoch: made.epoch,
    })
    const answer = await peer.wire.ask({ type: 'set_policy', policy })
    if (answer.type === 'ok') {
      mesh.policy = policy
      this.epoch = made.epoch
      this.keys.push(made.key)
    }
    return answer
  }
}
