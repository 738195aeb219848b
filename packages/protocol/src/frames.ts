import { z } from 'zod'
import { contract } from './contract.ts'
import type { Event, Member, Notice, Request } from './define.ts'
import { MeshError, errors, isErrorCode, type ErrorCode } from './errors.ts'
import { limits } from './limits.ts'

const members: Member[] = Object.values(contract).flatMap((feature) => Object.values(feature) as Member[])

/** Requests and notices by wire name: what a broker may receive. */
export const requests: ReadonlyMap<string, Request | Notice> = new Map(members.filter((m): m is Request | Notice => m.kind !== 'event').map((m) => [m.type, m]))

/** Events by wire name: what a client may receive unasked. */
export const events: ReadonlyMap<string, Event> = new Map(members.filter((m): m is Event => m.kind === 'event').map((m) => [m.type, m]))

const requestId = z.string().min(1).max(64)

/** The `error` frame: the answer to a failed request, or without `id` a word about the connection. */
export const errorFrame = z.object({
  type: z.literal('error'),
  code: z.string(),
  message: z.string(),
  id: requestId.optional(),
  retryAfter: z.number().optional(),
  serverTime: z.number().optional(),
  version: z.number().optional(),
})

export type Json = Record<string, unknown> & { type: string }

/** A frame's JSON as an object with a `type`. Throws `bad_frame` for anything else, also when nested deeper than 32. */
export function parseJson(text: string): Json {
  if (nesting(text) > limits.jsonDepth) throw new MeshError('bad_frame', `JSON is nested deeper than ${limits.jsonDepth}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new MeshError('bad_frame', 'the frame is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MeshError('bad_frame', 'the frame is not a JSON object')
  if (typeof (value as Json).type !== 'string') throw new MeshError('bad_frame', 'the frame has no type')
  return value as Json
}

/** Deepest bracket nesting outside strings of a JSON text; linear, and done before the parser allocates anything. */
export function nesting(text: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === 0x5c) i++
      else if (c === 0x22) inString = false
    } else if (c === 0x22) {
      // Long strings are most of a frame: let the engine find their end.
      const end = text.indexOf('"', i + 1)
      if (end < 0) break
      if (text.charCodeAt(end - 1) === 0x5c) inString = true
      else i = end
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > deepest) deepest = depth
    } else if (c === 0x7d || c === 0x5d) depth--
  }
  return deepest
}

export interface ClientFrame {
  readonly member: Request | Notice
  /** The request's id; undefined for a notice. */
  readonly id: string | undefined
  readonly input: unknown
}

/** A frame from a client, checked against the contract. Throws `bad_frame` naming the field. */
export function parseClientFrame(json: Json): ClientFrame {
  const member = requests.get(json.type)
  if (!member) throw new MeshError('bad_frame', `unknown type ${JSON.stringify(json.type.slice(0, 40))}`)
  if (member.kind === 'notice') return { member, id: undefined, input: check(member.type, member.body, json) }
  const id = requestId.safeParse(json['id'])
  if (!id.success) throw new MeshError('bad_frame', `${member.type}.id: every request carries an id`)
  return { member, id: id.data, input: check(member.type, member.input, json) }
}

/** The body of an event or an answer from the broker, checked. Throws `bad_frame` naming the field. */
export function check<S extends z.ZodObject>(type: string, schema: S, json: unknown): z.infer<S> {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues.map(nearest)[0]
  throw new MeshError(issue?.code === 'too_big' ? 'too_large' : 'bad_frame', `${type}.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong form'}`)
}

/** Of a union, the complaint of the branch that fits best: one over its limit before one of another type. */
function nearest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue
  const inner = issue.errors.flat()
  const best = inner.find((i) => i.code === 'too_big') ?? inner.find((i) => i.code !== 'invalid_type')
  if (best) return { ...best, path: [...issue.path, ...best.path] }
  const expected = new Set(inner.flatMap((i) => (i.code === 'invalid_type' ? [i.expected] : [])))
  return { ...issue, message: `Invalid input: expected ${[...expected].join(' or ')}` }
}

/** The `error` frame for a caught value; what is not a MeshError becomes `internal` and says nothing of the cause. */
export function toErrorFrame(error: unknown, id?: string): z.infer<typeof errorFrame> {
  const known = error instanceof MeshError ? error : new MeshError('internal')
  return {
    type: 'error',
    code: known.code,
    message: known.message,
    ...(id === undefined ? {} : { id }),
    ...(known.retryAfter === undefined ? {} : { retryAfter: known.retryAfter }),
    ...(known.version === undefined ? {} : { version: known.version }),
  }
}

/** The MeshError that an `error` frame carries. An unknown code, from a newer broker, becomes `internal`. */
export function fromErrorFrame(json: unknown): MeshError {
  const frame = check('error', errorFrame, json)
  const code: ErrorCode = isErrorCode(frame.code) ? frame.code : 'internal'
  return new MeshError(code, frame.message || errors[code].doc, { retryAfter: frame.retryAfter, version: frame.version })
}
