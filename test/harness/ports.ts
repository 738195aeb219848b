import type { KeptMessage, MailSeen, MemberCache, OutboxEntry, OutboxPort } from '@claudemesh/client'
import type { MessageId } from '@claudemesh/protocol'

/** What the sessions of one member on one machine share. */
export interface Desk {
  readonly mailSeen: MailSeen
  readonly memberCache: MemberCache
  readonly outbox: OutboxPort
}

/** A member's desk whose contents last as long as the test. */
export function newDesk(): Desk {
  const seen = new Set<MessageId>()
  let list: ReturnType<MemberCache['load']>
  let waiting: OutboxEntry[] = []
  const kept = new Map<MessageId, KeptMessage>()
  let locked = false
  return {
    mailSeen: { has: (id) => seen.has(id), add: (ids) => ids.forEach((id) => seen.add(id)) },
    memberCache: { load: () => list, save: (next) => (list = next) },
    outbox: {
      keep: (entry) => {
        // As it comes back from a disk.
        waiting.push(JSON.parse(JSON.stringify(entry)) as OutboxEntry)
        kept.set(entry.id, { keptAt: entry.at })
      },
      list: () => [...waiting],
      settle: (id, outcome) => {
        waiting = waiting.filter((entry) => entry.id !== id)
        kept.set(id, { keptAt: kept.get(id)?.keptAt ?? 0, ...outcome })
      },
      find: (id) => kept.get(id),
      exclusively: async (task) => {
        if (locked) return
        locked = true
        try {
          await task()
        } finally {
          locked = false
        }
      },
    },
  }
}
