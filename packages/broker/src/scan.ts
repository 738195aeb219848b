import { z } from 'zod'
import { contract, limits, MeshError, check, parseJson, type Input, type Json } from '@claudemesh/protocol'

/** A `send` without its body. */
export type SendHeader = Omit<Input<typeof contract.messages.send>, 'ciphertext'>

/** A checked `send`: its header, and the frame from the ciphertext on, as bytes that a push ends with too. */
export interface ScannedSend {
  readonly header: SendHeader
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
  const text = frame.toString('utf8', 0, at)
  // What is not UTF-8 is refused on the other path.
  if (!text.startsWith(lead) || text.includes('\ufffd')) return undefined
  const body = frame.toString('latin1', at + mark.length, end)
  if (body.length <= bodyChars && !isBase64url(body)) return undefined
  if (body.length > bodyChars) throw new MeshError('too_large', `send.ciphertext: over ${bodyChars} characters`)
  return { header: checkHeader(parseJson(`${text}}`)), tail: frame.subarray(at), body }
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
  return { header, tail: Buffer.from(`${mark.toString()}${ciphertext}"}`, 'latin1'), body: ciphertext }
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
