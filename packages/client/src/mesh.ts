import { MeshError, type Contract, type MessageId, type Status } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'
import type { Inbox } from './inbox.ts'
import type { ConnectionState } from './state.ts'
import type {
  ConnectOptions,
  CreatedInvite,
  InviteInfo,
  InviteOptions,
  Me,
  MeshEvents,
  MessageStatus,
  Peer,
  Resolved,
  SendOptions,
  SendResult,
} from './types.ts'

/** One session in one mesh: connected, and staying so until closed. */
export class Mesh implements AsyncDisposable {
  declare readonly calls: Calls<Contract>
  declare readonly inbox: Inbox

  /** Resolves when the broker accepted the session and the roster is usable; rejects with the MeshError that stands against it. */
  static async connect(_options: ConnectOptions): Promise<Mesh> {
    throw new MeshError('internal', 'not built yet')
  }

  get me(): Me {
    throw new MeshError('internal')
  }

  get state(): ConnectionState {
    throw new MeshError('internal')
  }

  /** Calls the handler at each event until the returned function is called. */
  on<K extends keyof MeshEvents>(_event: K, _handler: (body: MeshEvents[K]) => void): () => void {
    throw new MeshError('internal')
  }

  /** The verified peers, by name; this session is not among them. */
  peers(_filter: { group?: string } = {}): Peer[] {
    throw new MeshError('internal')
  }

  /** Throws `unknown_target` with the nearest names, `ambiguous_name`, `no_recipients` or `bad_name`. */
  resolve(_to: string | readonly string[]): Resolved {
    throw new MeshError('internal')
  }

  /** Resolves once the broker has the message: for a stored one after its commit. */
  async send(_options: SendOptions): Promise<SendResult> {
    throw new MeshError('internal')
  }

  /** What is known of a message that this member sent. */
  async status(_id: MessageId): Promise<MessageStatus> {
    throw new MeshError('internal')
  }

  async setSummary(_summary: string): Promise<void> {}
  async setStatus(_status: Status): Promise<void> {}
  async joinGroup(_name: string, _role?: string): Promise<void> {}
  async leaveGroup(_name: string): Promise<void> {}

  readonly invites: { create(options?: InviteOptions): Promise<CreatedInvite>; list(): Promise<InviteInfo[]> } = {
    create: async () => {
      throw new MeshError('internal')
    },
    list: async () => [],
  }

  /** Ends the session. With `bye` its key counts as destroyed: what is queued for it fails at once. */
  async close(_options: { bye?: boolean } = {}): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
