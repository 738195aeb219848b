import type { ReceivedMessage } from '@claudemesh/client'
import type { MessageId, Priority } from '@claudemesh/protocol'
import { fits, framePeerMessages } from '../frame.ts'
import { visible } from '../visible.ts'
import type { Parts } from './offers.ts'
import type { Turn } from './turn.ts'

/** Most characters of one message that are put into a session unasked. */
export const maxText = 8000
/** Most characters that Claude Code takes from a hook are 10,000. */
const maxContext = 9500
/** Of one that does not fit into them as a whole. */
const maxContextText = 2000
const rest = 'read all of it with check_messages'
const maxBatch = 24_000

const urgency = { now: 0, next: 1, low: 1 } as const
/** As Claude Code queues them. */
const rank = { now: 1, next: 1, low: 0 } as const

/**
 * The messages that go first and fit into one turn. A turn overtakes those of lower priority that are under way: then it carries nothing that could have waited
 * behind them, so that of one sender and priority none overtakes another.
 */
export function firstBatch(messages: readonly ReceivedMessage[], underWay: readonly Priority[], alone: ReadonlySet<MessageId>): ReceivedMessage[] {
  const highest = most(messages)
  const overtakes = underWay.some((priority) => rank[priority] < rank[highest])
  const batch: ReceivedMessage[] = []
  let length = 0
  for (const message of messages.toSorted((a, b) => urgency[a.priority] - urgency[b.priority])) {
    if (overtakes && rank[message.priority] < rank[highest]) continue
    length += Math.min(message.text.length, maxText)
    if (batch.length > 0 && (length > maxBatch || alone.has(message.id))) break
    batch.push(message)
    if (alone.has(message.id)) break
  }
  return batch
}

/** Which of them are shown as a whole within so many characters. */
export function partsOf(batch: readonly ReceivedMessage[], most: number): Parts {
  const whole = batch.filter((message) => fits(message, most))
  return { whole, cut: batch.filter((message) => !whole.includes(message)) }
}

/** As many messages as fit into a hook's answer, with the text; one that never would is cut. */
export function contextOf(messages: readonly ReceivedMessage[], lines: readonly string[], changes?: string): { parts: Parts; text: string } {
  const whole: ReceivedMessage[] = []
  const cut: ReceivedMessage[] = []
  let text = [...lines.map(visible), ...(changes === undefined ? [] : [changes])].join('\n\n')
  for (const message of messages.toSorted((a, b) => urgency[a.priority] - urgency[b.priority])) {
    const isWhole = fits(message, maxText)
    const framed = framePeerMessages([message], isWhole ? {} : { maxText: maxContextText, rest })
    const more = [text, framed].filter((part) => part !== '').join('\n\n')
    if (more.length > maxContext) break
    text = more
    ;(isWhole ? whole : cut).push(message)
  }
  return { parts: { whole, cut }, text }
}

/** A turn for the session's inbox. */
export function turnOf(batch: readonly ReceivedMessage[], lines: readonly string[], changes?: string): Turn {
  const frames = framePeerMessages(batch, { maxText, rest })
  const senders = new Set(batch.map((message) => message.from.name))
  const [only = ''] = senders
  return {
    text: [...(batch.length === 0 ? [] : [frames]), ...(changes === undefined ? [] : [changes]), ...lines.map(visible)].join('\n\n'),
    from: senders.size === 1 ? `mesh:${only}` : 'mesh',
    priority: batch.length === 0 ? 'next' : turnPriority[most(batch)],
  }
}

// Claude Code's own `now` aborts a turn that is just beginning, and with it the message of another peer that a hook has seen already.
const turnPriority = { now: 'next', next: 'next', low: 'later' } as const

/** The highest priority among the messages: that of the turn which carries them. */
export function most(batch: readonly ReceivedMessage[]): Priority {
  return (['now', 'next'] as const).find((priority) => batch.some((message) => message.priority === priority)) ?? 'low'
}
