import { contract, limits, MeshError, check, parseJson, type Input, type Json } from '@claudemesh/protocol'

/** A `send` without its body. */
export type SendHeader = Omit<Input<typeof contract.messages.send>, 'ciphertext'>

/** A checked `send`: its header, and the frame from the ciphertext on, as bytes that a push ends with too. */
export interface ScannedSend {
  readonly header: SendHeader
  readonly tail: Buffer
  readonly body: Buffer
}

const lead = Buffer.from('{"type":"send",')
const mark = Buffer.from(',"ciphertext":"')
const headerSchema = contract.messages.send.input.omit({ ciphertext: true })
const bodySchema = contract.messages.send.input.pick({ ciphertext: true })
const bodyChars = Math.ceil(((limits.message * 1.2 + 4096) * 4) / 3)
const recipientChars = Math.ceil((limits.recipients * 32 * 4) / 3)

/** Reads a `send` frame that ends with its ciphertext without parsing the ciphertext; undefined when the frame has another form. Throws as any frame does. */
export function scanSend(frame: Buffer): ScannedSend | undefined {
  if (frame.length < lead.length || frame.compare(lead, 0, lead.length, 0, lead.length) !== 0) return undefined
  const at = frame.indexOf(mark, lead.length)
  const end = frame.length - 2
  if (at < 0 || frame[end] !== 0x22 || frame[end + 1] !== 0x7d) return undefined
  const body = frame.subarray(at + mark.length, end)
  if (body.length <= bodyChars && !isBase64url(body.toString('latin1'))) return undefined
  if (body.length > bodyChars) throw new MeshError('too_large', `send.ciphertext: over ${bodyChars} characters`)
  const header = parseJson(`${frame.toString('utf8', 0, at)}}`)
  return { header: checkHeader(header), tail: frame.subarray(at), body }
}

/** The same from a parsed frame. */
export function wholeSend(json: Json): ScannedSend {
  const header = checkHeader(json)
  const { ciphertext } = check('send', bodySchema, json)
  const tail = Buffer.from(mark.toString() + ciphertext + '"}', 'latin1')
  return { header, tail, body: tail.subarray(mark.length, -2) }
}

/** Throws `too_many_recipients`, which is a clearer word than that a field is too long. */
export function refuseTooMany(json: Json): void {
  const to = json['to']
  if (typeof to === 'string' && to.length > recipientChars) throw new MeshError('too_many_recipients')
}

function checkHeader(json: Json): SendHeader {
  refuseTooMany(json)
  return check('send', headerSchema, json)
}

// Where bodies are decoded to see that they are base64url; what it holds is never read.
const scratch = Buffer.allocUnsafeSlow(Math.ceil((bodyChars * 3) / 4) + 4)

/** Whether text of at most `bodyChars` characters is base64url. The decoder skips what is not, and so decodes less; the other alphabet it takes too, hence the look for it. */
function isBase64url(text: string): boolean {
  if (text.length % 4 === 1 || text.includes('+') || text.includes('/')) return false
  return scratch.write(text, 'base64url') === Math.floor((text.length * 3) / 4)
}
