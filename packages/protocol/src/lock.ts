import { z } from 'zod'
import { narrowerThan, type Schema } from './compatible.ts'
import type { Feature, Member } from './define.ts'

interface LockedMember {
  readonly kind: Member['kind']
  readonly phase?: string
  readonly reply?: string
  /** What clients write and the broker reads. */
  readonly up?: Schema
  /** What the broker writes and clients read. */
  readonly down?: Schema
}

/** The contract as plain data, pinned in `contract.lock.json`. */
export interface Lock {
  readonly version: number
  readonly members: Readonly<Record<string, LockedMember>>
}

/** The lock of a contract as it stands. */
export function lockOf(contract: Readonly<Record<string, Feature>>, version: number): Lock {
  const members = Object.values(contract).flatMap((feature) => Object.values(feature))
  return { version, members: Object.fromEntries(members.map((m) => [m.type, locked(m)])) }
}

function locked(member: Member): LockedMember {
  if (member.kind === 'notice') return { kind: 'notice', up: json(member.body, 'input') }
  if (member.kind === 'event') return { kind: 'event', down: json(member.body, 'output') }
  return { kind: 'request', phase: member.phase, reply: member.reply, up: json(member.input, 'input'), down: json(member.output, 'output') }
}

function json(schema: z.ZodObject, io: 'input' | 'output'): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io })
  return JSON.parse(JSON.stringify(rest, (key, value: unknown) => (key === 'description' && typeof value === 'string' ? undefined : value))) as Schema
}

/** What of `before` would no longer work under `after`, one sentence each. */
export function breaks(before: Lock, after: Lock): string[] {
  return Object.entries(before.members).flatMap(([type, old]) => {
    const now = after.members[type]
    if (!now) return [`${type}: removed`]
    for (const fact of ['kind', 'phase', 'reply'] as const) if (now[fact] !== old[fact]) return [`${type}: ${fact} ${old[fact]} became ${now[fact]}`]
    const up = now.up && old.up ? narrowerThan(now.up, old.up, type) : []
    const down = now.down && old.down ? narrowerThan(old.down, now.down, `${type} answer`) : []
    return [...up, ...down]
  })
}
