import type { MemberPubkey, MessageId, RecipientPubkey } from '@claudemesh/protocol'
import type { RecipientStatus } from './types.ts'

/** What recipients themselves said of a message. */
export type Word = 'shown' | 'held' | 'answered'

type One = Readonly<Record<Word, Map<RecipientPubkey, number>>> & { readonly members: ReadonlySet<MemberPubkey> }

const remembered = 1000

/** Who proved to have shown, who holds, and who answered which of the last messages sent, and when. */
export class Heard {
  readonly #messages = new Map<MessageId, One>()

  /** A message to be listened for; what a session of these members says of it counts as the member's word. */
  sent(id: MessageId, members: Iterable<MemberPubkey> = []): void {
    keepNewest(this.#messages.set(id, { shown: new Map(), held: new Map(), answered: new Map(), members: new Set(members) }))
  }

  /** Who speaks for the message when this session of this member does; undefined when it was not ours. */
  recipient(id: MessageId, session: RecipientPubkey, member: MemberPubkey | undefined): RecipientPubkey | undefined {
    const known = this.#messages.get(id)
    return known && member !== undefined && known.members.has(member) ? member : known && session
  }

  /** False when it was said before, or the message is not ours. */
  take(word: Word, id: MessageId, by: RecipientPubkey, at: number): boolean {
    const known = this.#messages.get(id)?.[word]
    if (!known || known.has(by)) return false
    known.set(by, at)
    return true
  }

  /** The broker's word of one recipient, raised by what that recipient said itself. */
  raise(id: MessageId, one: RecipientStatus): RecipientStatus {
    const heard = this.#messages.get(id)
    const answered = heard?.answered.get(one.session)
    if (answered !== undefined) return { ...one, rung: 'answered', at: answered }
    const shown = heard?.shown.get(one.session)
    if (shown !== undefined) return { ...one, rung: 'surfaced', at: shown, proven: true }
    if (one.rung === 'surfaced') return { ...one, proven: false }
    return one.rung === 'received' && heard?.held.has(one.session) ? { ...one, held: true } : one
  }
}

/** Forgets the oldest beyond a thousand. */
export function keepNewest(known: Map<MessageId, unknown> | Set<MessageId>): void {
  const [oldest] = known.keys()
  if (known.size > remembered && oldest !== undefined) known.delete(oldest)
}
