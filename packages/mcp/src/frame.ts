import type { AttachedFile, ReceivedMessage } from '@claudemesh/client'
import type { MessageId } from '@claudemesh/protocol'
import { sizeOf } from './size.ts'
import { attribute, visible, visibleJson } from './visible.ts'

export interface FrameOptions {
  /** Most characters of one message's text; what is over is cut, and said to be. */
  readonly maxText?: number
  /** What the cut says, so that the model knows where the rest is. */
  readonly rest?: string
}

/** Most characters of one message that are shown anywhere. A text of 64 KiB fits unless most of it must be escaped. */
export const longestText = 150_000

const longestLabel = 300

/** A delimiter nobody can guess, new for each frame. */
function nonce(): string {
  return [...globalThis.crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Peer messages as text for a model: one frame per message that its content cannot close. */
export function framePeerMessages(messages: readonly ReceivedMessage[], options: FrameOptions = {}): string {
  return messages.map((message) => frameMessage(message, options)).join('\n\n')
}

function frameMessage(message: ReceivedMessage, { maxText = longestText, rest = 'the sender must send the rest again in parts' }: FrameOptions): string {
  const { from, to, priority, id, re, verified, sentAt, durable } = message
  const attributes = {
    from: from.name,
    key: from.fingerprint,
    ...(from.member && from.member.name !== from.name ? { member: from.member.name } : {}),
    to: short(to),
    verified: verified ? 'yes' : 'NO: plaintext, the sender may be anybody',
    id,
    ...(re === undefined ? {} : { re: short(re) }),
    priority,
    ...(durable ? { mail: 'durable' } : {}),
    sent: new Date(sentAt).toISOString(),
  }
  return frame('peer-message', attributes, [cut(visible(message.text), maxText, rest), ...(message.files ?? []).map(fileLine)].join('\n'))
}

/** What the sender is free to write of any length. */
const short = (text: string) => (text.length <= longestLabel ? text : `${text.slice(0, longestLabel)}…`)

/** The sender chose the name, so it is quoted like the text. */
const fileLine = ({ id, name, size }: AttachedFile) => `📎 ${visible(name)} (${sizeOf(size)}) — get_file("${id}")`

/** The ids of the messages that stand in this text as frames; peers cannot write the beginning of a frame. */
export function idsInFrames(text: string): MessageId[] {
  return [...text.matchAll(/<peer-message [^<>]*? id="([A-Za-z0-9_-]{22})"/g)].map((match) => match[1] as MessageId)
}

/** Whether the text of this message is shown whole within so many characters. */
export function fits(message: ReceivedMessage, maxText: number): boolean {
  return visible(message.text).length <= maxText
}

/** A tool's result that quotes names, roles or summaries of peers. */
export function frameData(name: 'mesh-data' | 'mesh-error', value: unknown): string {
  return frame(name, {}, typeof value === 'string' ? visible(value) : visibleJson(value))
}

function frame(tag: string, attributes: Record<string, string>, body: string): string {
  const key = nonce()
  const list = Object.entries(attributes).map(([name, value]) => ` ${name}="${attribute(value)}"`)
  return `<${tag}${list.join('')} nonce="${key}">\n${body}\n</${tag} nonce="${key}">`
}

function cut(text: string, max: number, rest: string): string {
  if (text.length <= max) return text
  // Neither half a character nor half an escape.
  const shown = text.slice(0, max).replace(/[\uD800-\uDBFF]$|\\(?:u(?:\{[0-9a-f]{0,6})?)?$/u, '')
  return `${shown}\n[truncated: ${shown.length} of ${text.length} characters shown; ${rest}]`
}
