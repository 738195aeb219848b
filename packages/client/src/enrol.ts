import type { InviteLink, MemberKey, Random, RootKey } from '@claudemesh/crypto'
import { MeshError, type Clock } from '@claudemesh/protocol'
import type { Dial } from './dial.ts'
import type { Identity } from './types.ts'

export interface EnrolOptions {
  /** The invite link, or its parsed form. */
  readonly link: string | InviteLink
  /** The member's name. */
  readonly name: string
  readonly clock: Clock
  readonly dial: Dial
  readonly random?: Random
  /** A member key to enrol again; a fresh one unless given. */
  readonly member?: MemberKey
}

export type Enrolled = Identity & { readonly url: string; readonly policy: string }

/** Makes this key a member of the link's mesh: verifies the invite up to the root in the link, signs its own certificate and has the broker count the use. */
export async function enrol(_options: EnrolOptions): Promise<Enrolled> {
  throw new MeshError('internal', 'not built yet')
}

export interface CreateMeshOptions {
  /** The broker's WebSocket address, such as ws://127.0.0.1:7717/ws. */
  readonly url: string
  readonly slug: string
  /** The founder's member name. */
  readonly name: string
  readonly clock: Clock
  readonly dial: Dial
  readonly random?: Random
}

export type CreatedMesh = Identity & { readonly url: string; readonly policy: string; readonly rootKey: RootKey }

/** Brings a new mesh to a broker: root key, the founder as admin, the first policy. The root key is the caller's to keep. */
export async function createMesh(_options: CreateMeshOptions): Promise<CreatedMesh> {
  throw new MeshError('internal', 'not built yet')
}
