import { z } from 'zod'
import { contract, limits, MeshError, check, parseJson, type ClientId, type Input, type Json, type Priority } from '@claudemesh/protocol'

/** A `send` without its body. */
export type SendHeader = Omit<Input<typeof contract.messages.send>, 'ciphertext'>

/** A checked `send`: its header, the fields of it that a push repeats, and the frame from the ciphertext on, as bytes that a push ends with too. */
export interface ScannedSend {
  readonly header: SendHeader
  /** `"id":…` to `"nonce":…`. */
  readonly core: Buffer
  readonly tail: Buffer
  readonly body: string
}

const lead = '{"type":"send",'
// Where the lead says which type it is.
const letter = lead.indexOf('send')
const mark = Buffer.from(',"ciphertext":"')
// The long fields are checked below: the same rule, ten times as fast on a hundred kilobytes.
const headerSchema = contract.messages.send.input.omit({ ciphertext: true }).extend({ to: z.string(), wraps: z.string().optional() })
const bodySchema = contract.messages.send.input.pick({ ciphertext: true })
const bodyChars = Math.ceil(((limits.message * 1.2 + 4096) * 4) / 3)
const recipientChars = Math.ceil((limits.recipients * 32 * 4) / 3)
const wrapChars = Math.ceil((limits.recipients * 88 * 4) / 3)

const volatileMark = Buffer.from('"volatile":true')
const idEnd = lead.length + '"id":"","'.length + 22

/** Reads a `send` frame that ends with its ciphertext without parsing the ciphertext; undefined when the frame has another form. Throws as any frame does. */
export function scanSend(frame: Buffer): ScannedSend | undefined {
  if (frame[letter] !== 0x73) return undefined
  const at = frame.indexOf(mark, lead.length)
  const end = frame.length - 2
  if (at < 0 || frame[end] !== 0x22 || frame[end + 1] !== 0x7d) return undefined
  const body = frame.toString('latin1', at + mark.length, end)
  if (body.length <= bodyChars && !isBase64url(body)) return undefined
  if (body.length > bodyChars) throw new MeshError('too_large', `send.ciphertext: over ${bodyChars} characters`)
  const read = usual(frame, at) ?? parsed(frame, at)
  return read && { header: read.header, core: read.core, tail: frame.subarray(at), body }
}

type Read = Pick<ScannedSend, 'header' | 'core'>

function parsed(frame: Buffer, end: number): Read | undefined {
  const text = frame.toString('utf8', 0, end)
  // What is not UTF-8 is refused on the other path.
  if (!text.startsWith(lead) || text.includes('\ufffd')) return undefined
  const header = checkHeader(parseJson(`${text}}`))
  return { header, core: coreOf(header) }
}

const coreOf = ({ id, targetSpec, priority, nonce }: SendHeader): Buffer =>
  Buffer.from(`"id":"${id}","targetSpec":${JSON.stringify(targetSpec)},"priority":"${priority}","nonce":"${nonce}"`)

const usualStart = /^\{"type":"send","id":"([\w-]{22})","targetSpec":"(\*|@[\w-]{1,64}|[\w-]{43})","priority":"(now|next|low)","nonce":"([\w-]{32})","to":"/
const afterNonce = ',"to":"'.length
const wrapsOpen = ',"wraps":"'
const volatileEnd = ',"volatile":true'

/** The header as our client writes it for one address, and no other, read without a parser; what is wrong with it is named by the other way. */
function usual(frame: Buffer, end: number): Read | undefined {
  const text = frame.toString('latin1', 0, end)
  const start = usualStart.exec(text)
  if (!start) return undefined
  const [{ length }, id, targetSpec, priority, nonce] = start as unknown as [string, ClientId, string, Priority, string]
  const to = quoted(text, length)
  if (to === undefined || to.length > recipientChars || !isBase64url(to)) return undefined
  let at = length + to.length + 1
  const wraps = text.startsWith(wrapsOpen, at) ? quoted(text, at + wrapsOpen.length) : undefined
  if (wraps !== undefined) {
    if (wraps.length > wrapChars || !isBase64url(wraps)) return undefined
    at += wrapsOpen.length + wraps.length + 1
  }
  const isVolatile = text.length > at
  if (isVolatile && (text.length !== at + volatileEnd.length || !text.endsWith(volatileEnd))) return undefined
  const header = { id, targetSpec, priority, nonce, to, ...(wraps !== undefined && { wraps }), ...(isVolatile && { volatile: true }) }
  return { header, core: frame.subarray(lead.length, length - afterNonce) }
}

/** From `start` to the next quote. */
function quoted(text: string, start: number): string | undefined {
  const end = text.indexOf('"', start)
  return end < 0 ? undefined : text.slice(start, end)
}

/** The id of a `send` in the form that clients give it, unless it says before its ciphertext that it is volatile; of anything else undefined. Nothing else is checked. */
export function storedSendId(frame: Buffer): string | undefined {
  if (frame[letter] !== 0x73) return undefined
  const id = /^\{"type":"send","id":"([A-Za-z0-9_-]{22})","/.exec(frame.toString('latin1', 0, idEnd))?.[1]
  return id === undefined || frame.subarray(0, frame.indexOf(mark)).includes(volatileMark) ? undefined : id
}

/** A checked `send` from a parsed frame. */
export function wholeSend(json: Json): ScannedSend {
  const header = checkHeader(json)
  const { ciphertext } = check('send', bodySchema, json)
  return { header, core: coreOf(header), tail: Buffer.from(`${mark.toString()}${ciphertext}"}`, 'latin1'), body: ciphertext }
}

/** Throws `too_many_recipients`, which is a clearer word than that a field is too long. */
export function refuseTooMany(json: Json): void {
  const to = json['to']
  if (typeof to === 'string' && to.length > recipientChars) throw new MeshError('too_many_recipients')
}

function checkHeader(json: Json): SendHeader {
  refuseTooMany(json)
  const header = check('send', headerSchema, json)
  checkBytes('to', header.to, recipientChars)
  if (header.wraps !== undefined) checkBytes('wraps', header.wraps, wrapChars)
  return header
}

function checkBytes(field: string, text: string, chars: number): void {
  if (text.length > chars) throw new MeshError('too_large', `send.${field}: over ${chars} characters`)
  if (!isBase64url(text)) throw new MeshError('bad_frame', `send.${field}: expected base64url`)
}

// Where bodies are decoded to see that they are base64url; what it holds is never read.
const scratch = Buffer.allocUnsafeSlow(Math.ceil((Math.max(bodyChars, wrapChars) * 3) / 4) + 4)

/** Whether text of at most so many characters is base64url. The decoder skips what is not, and so decodes less; the other alphabet it takes too, hence the look for it. */
function isBase64url(text: string): boolean {
  if (text.length % 4 === 1 || text.includes('+') || text.includes('/')) return false
  return scratch.write(text, 'base64url') === Math.floor((text.length * 3) / 4)
}
