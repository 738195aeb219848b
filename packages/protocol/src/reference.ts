import { z } from 'zod'
import type { Feature, Member } from './define.ts'
import { errors } from './errors.ts'
import { deliveryState, millis, peer, policyToken, priority, recipientState, route, rung, status, token } from './fields.ts'
import * as ids from './ids.ts'
import { closeCodes, limits, times } from './limits.ts'

const types: [name: string, schema: z.ZodType, text: string][] = [
  ['MeshId', ids.meshId, '32 characters of `a-z2-7`, derived from the root key'],
  ['MemberId', ids.memberId, '16 bytes, derived from mesh and member key'],
  ['PresenceId', ids.presenceId, '16 bytes, one per connection'],
  ['MessageId', ids.messageId, '16 bytes, derived from the sender’s session key and the `id` of its `send`'],
  ['ClientId', ids.clientId, '16 random bytes that the sender chose'],
  ['StateId', ids.stateId, '16 bytes, a keyed hash of the key’s name'],
  ['RootPubkey', ids.rootPubkey, 'an ed25519 public key, 32 bytes'],
  ['MemberPubkey', ids.memberPubkey, 'an ed25519 public key, 32 bytes'],
  ['InvitePubkey', ids.invitePubkey, 'an ed25519 public key, 32 bytes'],
  ['SessionPubkey', ids.sessionPubkey, 'an ed25519 public key, 32 bytes'],
  [
    'Token',
    token,
    `a signed document \`payload.signature\` or \`payload.signature.possession\`, each part in base64url, at most ${limits.tokenChars} characters`,
  ],
  ['PolicyToken', policyToken, `a Token of at most ${limits.policyTokenChars} characters`],
  ['Millis', millis, 'an integer: milliseconds since 1970'],
  ['Route', route, '`*`, `@` and a group, or a SessionPubkey'],
  ['Priority', priority, words(priority)],
  ['Status', status, words(status)],
  ['Rung', rung, words(rung)],
  ['Peer', peer, 'a peer as the broker tells of it'],
  ['DeliveryState', deliveryState, 'how far a message came at one recipient'],
  ['RecipientState', recipientState, 'the same, where the message is known'],
]

/** PROTOCOL.md: the whole wire contract, readable. */
export function reference(contract: Readonly<Record<string, Feature>>, version: number): string {
  return (
    [
      '# The wire protocol of claudemesh',
      `Contract version ${version}. Generated from \`packages/protocol/src\` by \`pnpm generate\`; edit the sources instead.`,
      conventions,
      ...Object.entries(contract).map(([noun, feature]) => section(noun, feature)),
      '## Types',
      'Bytes travel as base64url without padding, in the one canonical form.',
      table(
        ['type', 'form'],
        types.map(([name, , text]) => [name, text]),
      ),
      ...[peer, recipientState].map((schema) => `### ${nameOf(schema)}\n\n${fields(schema)}`),
      '`DeliveryState` is `RecipientState` and the `messageId`.',
      '## Errors',
      '`retry` is what a caller may do: `never` (change the call), `later` (repeat it), `reconnect` (dial again).',
      table(
        ['code', 'retry', 'meaning'],
        Object.entries(errors).map(([code, row]) => [`\`${code}\``, row.retry, row.doc]),
      ),
      '## Close codes',
      table(
        ['code', 'name'],
        Object.entries(closeCodes).map(([name, code]) => [`${code}`, name]),
      ),
      '## Limits',
      table(
        ['limit', 'value'],
        Object.entries(limits).map(([name, value]) => [name, value.toLocaleString('en')]),
      ),
      '## Times',
      table(
        ['time', 'milliseconds'],
        Object.entries(times).map(([name, value]) => [name, value.toLocaleString('en')]),
      ),
    ].join('\n\n') + '\n'
  )
}

const conventions = `## Frames

One WebSocket at \`/ws\`; each text message is one frame, a flat JSON object \`{ "type", "id"?, …fields }\`.

- Every request carries an \`id\` of 1 to 64 characters; its answer, or its \`error\`, repeats it. Notices have no answer. Events are unasked and have no request’s \`id\`.
- Unknown fields are ignored. An unknown type is \`bad_frame\`, as is JSON nested deeper than ${limits.jsonDepth}.
- The broker speaks first (\`challenge\`). Before a valid \`hello\` it answers only what is marked *before hello*, in frames of at most ${limits.frameBeforeHello / 1024} KiB; later frames may have ${limits.frame / 1024} KiB.
- Frames of one connection are handled in order. Compression is not negotiated.
- A field marked \`?\` may be absent; none may be null but a \`value\` of the state.
- A failed request is answered by \`{ "type": "error", "id", "code", "message", "retryAfter"?, "serverTime"?, "version"? }\`; without \`id\` it speaks of the connection.`

function section(noun: string, feature: Feature): string {
  const order = ['request', 'notice', 'event']
  const members = Object.values(feature).sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
  return [`## ${noun[0]?.toUpperCase()}${noun.slice(1)}`, ...members.map(entry)].join('\n\n')
}

function entry(member: Member): string {
  if (member.kind === 'notice') return [`### ${member.type}`, '*Client to broker, no answer.*', member.doc, fields(member.body)].join('\n\n')
  if (member.kind === 'event') return [`### ${member.type}`, '*Broker to client.*', member.doc, fields(member.body)].join('\n\n')
  const answer = Object.keys(member.output.shape).length === 0 ? `Answer: \`${member.reply}\`.` : `Answer: \`${member.reply}\` with`
  const parts = [`### ${member.type}`, `*Request${member.phase === 'greeting' ? ', before hello' : ''}.*`, member.doc, fields(member.input), answer]
  return [...parts, ...(answer.endsWith('with') ? [fields(member.output)] : [])].join('\n\n')
}

function fields(schema: z.ZodObject): string {
  const rows = rowsOf(schema, '')
  return rows.length === 0 ? 'No fields.' : table(['field', 'form', 'meaning'], rows)
}

function rowsOf(object: z.ZodObject, prefix: string): string[][] {
  return Object.entries(object.shape).flatMap(([name, field]) => {
    const optional = field instanceof z.ZodOptional
    const inner = bare(field)
    const meaning = field.description ?? (inner as z.ZodType).description ?? ''
    const element = inner instanceof z.ZodArray ? inner.element : inner
    const nested = element instanceof z.ZodObject && nameOf(element) === undefined ? rowsOf(element, `${prefix}${name}${element === inner ? '' : '[]'}.`) : []
    return [[`\`${prefix}${name}${optional ? '?' : ''}\``, form(inner), meaning], ...nested]
  })
}

const bare = (field: unknown): unknown => (field instanceof z.ZodOptional ? bare(field.unwrap()) : field)

// A described copy of a schema shares its definition.
const nameOf = (schema: unknown) => types.find(([, type]) => schema instanceof z.ZodType && type.def === schema.def)?.[0]

function form(schema: unknown): string {
  const name = nameOf(schema)
  if (name !== undefined) return name
  if (schema instanceof z.ZodArray) return `list of ${form(schema.element)}${counts(schema)}`
  if (schema instanceof z.ZodObject) return 'objects'
  if (schema instanceof z.ZodUnion) return schema.options.map(form).join(', or ')
  if (schema instanceof z.ZodEnum) return words(schema)
  if (schema instanceof z.ZodLiteral) return [...schema.values].map((value) => `\`${JSON.stringify(value)}\``).join(', ')
  if (schema instanceof z.ZodBoolean) return 'boolean'
  if (schema instanceof z.ZodString) return textForm(schema)
  if (schema instanceof z.ZodNumber) return 'integer'
  if (schema instanceof z.ZodUnknown) return 'any JSON'
  throw new TypeError('the reference has no words for this kind of schema')
}

function words(schema: z.ZodEnum): string {
  return schema.options.map((option) => `\`${option}\``).join(', ')
}

function counts(schema: z.ZodArray): string {
  const { minItems = 0, maxItems } = z.toJSONSchema(schema)
  if (maxItems === undefined) return minItems > 0 ? `, at least ${minItems}` : ''
  return minItems > 0 ? `, ${minItems} to ${maxItems}` : `, at most ${maxItems}`
}

function textForm(schema: z.ZodString): string {
  const { pattern, minLength, maxLength } = z.toJSONSchema(schema)
  if (pattern === '^[A-Za-z0-9_-]*$' && maxLength !== undefined) {
    const size = Math.floor((maxLength * 3) / 4).toLocaleString('en')
    return minLength === maxLength ? `${size} bytes` : `bytes, at most ${size}`
  }
  if (pattern !== undefined) return `text \`${pattern.replaceAll('|', '\\|')}\``
  return maxLength === undefined ? 'text' : `text, at most ${maxLength.toLocaleString('en')} characters`
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
