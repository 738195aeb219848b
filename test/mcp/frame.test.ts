import type { ReceivedMessage } from '@claudemesh/client'
import { frameData, framePeerMessages, type FrameOptions } from '@claudemesh/mcp'
import { parseLabel, parseName, type MemberId, type MessageId, type SessionPubkey } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { payloads } from './payloads.ts'

const message = (change: Partial<ReceivedMessage> = {}, name = 'Alice'): ReceivedMessage => ({
  id: 'AAAAAAAAAAAAAAAAAAAAAA' as MessageId,
  from: { session: 'S'.repeat(43) as SessionPubkey, name, member: { id: 'M'.repeat(22) as MemberId, name: 'Anna' }, fingerprint: 'ab12 cd34' },
  to: '@frontend',
  priority: 'next',
  text: 'hello',
  sentAt: 0,
  hops: 0,
  receivedAt: 0,
  verified: true,
  ...change,
})

/** The frames in a text, or an error when it is anything but frames with blank lines between. */
function parse(text: string): { attributes: Record<string, string>; body: string }[] {
  const frames: { attributes: Record<string, string>; body: string }[] = []
  let rest = text
  while (rest !== '') {
    const opening = /^<(peer-message|mesh-data|mesh-error)((?: [a-z]+="[^"<>\n]*")*)>\n/.exec(rest)
    if (!opening) throw new Error(`no frame at ${JSON.stringify(rest.slice(0, 80))}`)
    const attributes = Object.fromEntries([...(opening[2] ?? '').matchAll(/ ([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name, value] as [string, string]))
    const closing = `\n</${opening[1]} nonce="${attributes['nonce']}">`
    const end = rest.indexOf(closing, opening[0].length - 1)
    if (end < 0) throw new Error('the frame does not end')
    frames.push({ attributes, body: rest.slice(opening[0].length, end) })
    rest = rest.slice(end + closing.length).replace(/^\n\n(?=<)/, '')
  }
  return frames
}

const unseen = /[\p{C}\p{Zl}\p{Zp}]/u

test('there are at least fifty ways to try', () => {
  expect(new Set(payloads).size).toBeGreaterThanOrEqual(50)
})

test.for(payloads.map((payload, i) => [i, payload] as const))('payload %i stays inside its frame', ([, payload]) => {
  for (const hostile of [message({ text: payload }), message({ to: payload }), message({ re: payload }), message({}, payload)]) {
    const text = framePeerMessages([hostile])
    const [frame, ...more] = parse(text)
    expect(more).toEqual([])
    expect(frame?.body).not.toMatch(/<\s*[/!?]|<\p{L}/u)
    expect(text.replaceAll(/[\n\t]/g, '').replaceAll('\u{fe0f}', '')).not.toMatch(unseen)
    expect(Object.keys(frame?.attributes ?? {})).toEqual(expect.arrayContaining(['from', 'key', 'to', 'verified', 'id', 'priority', 'nonce']))
    expect(frame?.attributes['verified']).toBe('yes')
  }
  for (const data of [
    frameData('mesh-data', { you: { name: payload }, peers: [{ summary: payload, role: payload, groups: [{ name: payload }] }] }),
    frameData('mesh-error', `unknown_target: ${payload}`),
  ]) {
    expect(parse(data)).toHaveLength(1)
    expect(parse(data)[0]?.body).not.toMatch(/<\s*[/!?]|<\p{L}/u)
    expect(data.replaceAll(/[\n\t]/g, '').replaceAll('\u{fe0f}', '')).not.toMatch(unseen)
  }
})

test('what a frame shows can be read back exactly', () => {
  const texts = [...payloads, 'a < b && c > d', 'const x: Array<string> = []\n\treturn `${x}`', 'C:\\u{41} \\u0041', 'naïve café 日本語 👍🏽']
  for (const text of texts) {
    const shown = parse(framePeerMessages([message({ text })]))[0]?.body ?? ''
    const read = shown.replaceAll(/\\u\{([0-9a-f]+)\}/g, (_, hex: string) => String.fromCodePoint(parseInt(hex, 16)))
    expect(read).toBe(text.replaceAll('\r\n', '\n'))
  }
})

test('ordinary text and code stay as they are', () => {
  const text = 'if (a < b && b > 1) {\n\treturn "x" // 50% & more\n}\n\n- naïve café 日本語 ❤️'
  expect(parse(framePeerMessages([message({ text })]))[0]?.body).toBe(text)
})

test('several messages are several frames, each with its own delimiter', () => {
  const frames = parse(framePeerMessages([message({ text: 'one' }), message({ text: 'two' }), message({ text: 'one' })]))
  expect(frames.map((frame) => frame.body)).toEqual(['one', 'two', 'one'])
  expect(new Set(frames.map((frame) => frame.attributes['nonce'])).size).toBe(3)
})

test('the attributes tell who, to whom and how urgent; plaintext is said to be unverified', () => {
  const [frame] = parse(framePeerMessages([message({ re: 'BBBBBBBBBBBBBBBBBBBBBB', priority: 'now' })]))
  expect(frame?.attributes).toMatchObject({
    from: 'Alice',
    member: 'Anna',
    key: 'ab12 cd34',
    to: '@frontend',
    verified: 'yes',
    re: 'BBBBBBBBBBBBBBBBBBBBBB',
    priority: 'now',
    sent: '1970-01-01T00:00:00.000Z',
  })
  const { member: _, ...from } = message().from
  expect(parse(framePeerMessages([message({ from: { ...from, name: 'unverified' }, verified: false })]))[0]?.attributes['verified']).toMatch(/^NO/)
})

test('what a sender may write of any length beside its text is cut', () => {
  const [frame] = parse(framePeerMessages([message({ to: `@${'t'.repeat(60_000)}`, re: 'r'.repeat(60_000) })]))
  expect(frame?.attributes['to']).toBe(`@${'t'.repeat(299)}…`)
  expect(frame?.attributes['re']).toBe(`${'r'.repeat(300)}…`)
})

test.for<[string, FrameOptions]>([
  ['x'.repeat(100), { maxText: 10 }],
  ['\u{e0041}'.repeat(20), { maxText: 25 }],
  ['👍'.repeat(20), { maxText: 11 }],
  ['<b>'.repeat(50_000), {}],
])('a text that is too long is cut, visibly', ([text, options]) => {
  const [frame] = parse(framePeerMessages([message({ text })], { ...options, rest: 'read all of it with check_messages' }))
  expect(frame?.body).toMatch(/\n\[truncated: \d+ of \d+ characters shown; read all of it with check_messages\]$/)
  const shown = frame?.body.split('\n[truncated')[0] ?? ''
  expect(shown.isWellFormed()).toBe(true)
  expect(shown).not.toMatch(/\\(?:u(?:\{[0-9a-f]*)?)?$/)
})

test('a name, role or summary that passes the contract’s rules holds no hidden character', () => {
  for (const payload of payloads) {
    for (const parse of [parseName, (text: string) => parseLabel(text, 'summary', 280)]) {
      try {
        expect(parse(payload)).not.toMatch(unseen)
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad_name' })
      }
    }
  }
})
