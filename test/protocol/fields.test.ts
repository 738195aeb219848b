import { contract, limits, parseClientFrame, requests, tools } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { clientFrames, key } from './examples.ts'

interface Schema {
  type?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  maxItems?: number
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  anyOf?: Schema[]
}
interface Bounded {
  path: string[]
  schema: Schema
}

const members = [...requests.values()].map((m) => ({ type: m.type, schema: z.toJSONSchema(m.kind === 'notice' ? m.body : m.input, { io: 'input' }) as Schema }))

/** Every string and array below `schema` that has a limit. */
function bounded(schema: Schema, path: string[]): Bounded[] {
  const inner = [...(schema.anyOf ?? []).map((s) => bounded(s, path)), schema.items ? bounded(schema.items, [...path, '0']) : []]
  const fields = Object.entries(schema.properties ?? {}).map(([name, s]) => bounded(s, [...path, name]))
  const self = schema.maxLength !== undefined || schema.maxItems !== undefined ? [{ path, schema }] : []
  return [...self, ...inner.flat(), ...fields.flat()]
}

/** Text of `n` characters in the form the schema asks for. */
function text(n: number, pattern = ''): string {
  const forms = ['A'.repeat(n), `${key(10)}.${'A'.repeat(Math.max(0, n - 11))}`]
  return forms.find((form) => new RegExp(pattern, 'u').test(form)) ?? ''
}

function replaced(value: unknown, [head, ...rest]: string[], by: unknown): unknown {
  if (head === undefined) return by
  const copy: Record<string, unknown> = Array.isArray(value) ? (Object.assign([], value) as never) : { ...(value as object) }
  copy[head] = replaced(copy[head], rest, by)
  return copy
}

const at = (value: unknown, path: string[]): unknown => path.reduce((v, step) => (v as Record<string, unknown>)[step], value)
const frame = (type: string, change: object = {}) => ({ id: key(22), ...clientFrames[type], ...change, type })
const refused = (code: string, says: string) => expect.objectContaining({ code, message: expect.stringContaining(says) })

// Routes are bounded by their grammar; see below.
const cases = members
  .flatMap(({ type, schema }) => bounded(schema, []).map((b) => ({ type, ...b, name: [type, ...b.path].join('.') })))
  .filter((c) => c.schema.maxLength !== 80)

test('the fields with a limit are these', () => {
  expect(new Set(cases.map((c) => c.name))).toMatchInlineSnapshot(`
    Set {
      "hello.sessionId",
      "hello.displayName",
      "hello.groups",
      "hello.groups.0.name",
      "hello.groups.0.role",
      "hello.aud",
      "hello.clientNonce",
      "hello.chain",
      "hello.chain.0",
      "hello.presence",
      "hello.signature",
      "hello.proof",
      "enrol.chain",
      "enrol.chain.0",
      "enrol.aud",
      "enrol.clientNonce",
      "enrol.proof",
      "enrol.keybox.mk",
      "enrol.keybox.n",
      "enrol.keybox.c",
      "create_mesh.chain",
      "create_mesh.chain.0",
      "create_mesh.policy",
      "create_mesh.aud",
      "create_mesh.clientNonce",
      "create_mesh.proof",
      "create_mesh.keybox.mk",
      "create_mesh.keybox.n",
      "create_mesh.keybox.c",
      "set_policy.policy",
      "create_invite.chain",
      "create_invite.chain.0",
      "create_invite.keybox.mk",
      "create_invite.keybox.n",
      "create_invite.keybox.c",
      "list_peers.cursor",
      "set_summary.summary",
      "set_summary.presence",
      "join_group.name",
      "join_group.role",
      "join_group.presence",
      "leave_group.name",
      "leave_group.presence",
      "send.targetSpec",
      "send.nonce",
      "send.to",
      "send.wraps",
      "send.forward.chain",
      "send.forward.chain.0",
      "send.forward.presence",
      "send.ciphertext",
      "send_more.to",
      "send_more.wraps",
      "receipt.received",
      "receipt.surfaced",
      "receipt.failed",
      "receipt.failed.0.reason",
      "put_keyboxes.mk",
      "put_keyboxes.boxes",
      "put_keyboxes.boxes.0.reader",
      "put_keyboxes.boxes.0.n",
      "put_keyboxes.boxes.0.c",
      "set_state.record.n",
      "set_state.record.c",
      "set_state.key",
      "get_state.key",
      "list_state.cursor",
      "delete_state.record.n",
      "delete_state.record.c",
      "delete_state.key",
      "remember.record.n",
      "remember.record.c",
      "remember.token",
      "recall.query",
      "recall.tags",
      "recall.tags.0",
      "recall.by",
      "forget.record.n",
      "forget.record.c",
      "finish_file.record.n",
      "finish_file.record.c",
      "finish_file.to",
      "finish_file.targetSpec",
    }
  `)
})

test.each(cases)('$name takes its limit and refuses one more', ({ type, path, schema, name }) => {
  const max = schema.maxLength ?? schema.maxItems ?? 0
  const value = (n: number) => {
    if (schema.maxLength !== undefined) return text(n, schema.pattern)
    const example = at(clientFrames[type], path)
    return Array.from({ length: n }, () => (Array.isArray(example) ? example[0] : example))
  }
  const within = replaced(frame(type), path, value(max)) as { type: string }
  expect(at(parseClientFrame(within).input, path)).toEqual(value(max))
  expect(() => parseClientFrame(replaced(frame(type), path, value(max + 1)) as { type: string })).toThrow(refused('too_large', `${name}: `))
  if (schema.minLength === max)
    expect(() => parseClientFrame(replaced(frame(type), path, value(max - 1)) as { type: string })).toThrow(refused('bad_frame', `${name}: `))
})

describe('each field of each frame', () => {
  const fields = members.flatMap(({ type, schema }) =>
    Object.keys(schema.properties ?? {}).map((field) => ({ type, field, required: schema.required?.includes(field) ?? false })),
  )

  // A value of the state may be any JSON.
  test.each(fields.filter((f) => f.field !== 'value'))('$type.$field of the wrong type is refused by name', ({ type, field }) => {
    for (const wrong of [null, { a: 1 }, -1.5])
      expect(() => parseClientFrame(frame(type, { [field]: wrong }))).toThrow(refused('bad_frame', `${type}.${field}`))
  })

  test.each(fields.filter((f) => f.required))('$type.$field cannot be left out', ({ type, field }) => {
    expect(() => parseClientFrame(frame(type, { [field]: undefined }))).toThrow(refused('bad_frame', `${type}.${field}`))
  })

  test.each(fields.filter((f) => !f.required))('$type.$field can be left out', ({ type, field }) => {
    const { [field]: _, ...rest } = frame(type) as Record<string, unknown>
    expect(parseClientFrame({ ...rest, type }).input).not.toHaveProperty(field)
  })
})

describe('forms', () => {
  test.each([
    ['send', { targetSpec: `@${'g'.repeat(64)}` }, true],
    ['send', { targetSpec: `@${'g'.repeat(65)}` }, false],
    ['send', { targetSpec: ['*', '@all', key(43)] }, true],
    ['send', { targetSpec: [] }, false],
    ['send', { targetSpec: 'Alice' }, false],
    ['send', { targetSpec: key(44) }, false],
    ['send', { priority: 'urgent' }, false],
    ['send', { ciphertext: 'AA==' }, false],
    ['send', { nonce: `${key(31)}+` }, false],
    ['send', { id: key(21) }, false],
    ['set_status', { status: 'away' }, false],
    ['create_mesh', { slug: 's'.repeat(63) }, true],
    ['create_mesh', { slug: 's'.repeat(64) }, false],
    ['create_mesh', { slug: 'Dev' }, false],
    ['create_mesh', { slug: '-dev' }, false],
    ['hello', { v: 2 }, false],
    ['hello', { meshId: 'A'.repeat(32) }, false],
    ['hello', { pubkey: key(42) }, false],
    ['hello', { timestamp: -1 }, false],
    ['hello', { timestamp: 1.5 }, false],
    ['hello', { presence: 'one-part' }, false],
    ['hello', { presence: 'a.b.c.d' }, false],
    ['hello', { chain: [] }, false],
  ])('%s with %j: %s', (type, change, good) => {
    const parse = () => parseClientFrame(frame(type, change))
    if (good) expect(parse().input).toMatchObject(change)
    else expect(parse).toThrow(refused('bad_frame', `${type}.${Object.keys(change)[0]}`))
  })
})

test('a number that JSON cannot hold exactly is too large', () => {
  expect(() => parseClientFrame(frame('hello', { timestamp: 2 ** 53 }))).toThrow(refused('too_large', 'hello.timestamp'))
})

test('tools: the summary and the array of targets are bounded as on the wire', () => {
  const summary = tools.peers.setSummary.input
  expect(summary.safeParse({ summary: 's'.repeat(limits.summaryChars) }).success).toBe(true)
  expect(summary.safeParse({ summary: 's'.repeat(limits.summaryChars + 1) }).success).toBe(false)
  expect(tools.peers.setStatus.input.safeParse({ status: 'waiting' }).success).toBe(false)
})

test('every wire name stands once', () => {
  const names = Object.values(contract).flatMap((feature) => Object.values(feature).map((m) => m.type))
  expect(names).toEqual([...new Set(names)])
})
