/** What a client of a pub/sub server says, and what it makes of what it hears. */
export interface PubSub {
  readonly greeting: string
  subscribe(subject: string): string
  publish(subject: string, payload: Buffer): Buffer
  /** Reads what is whole, and gives the rest; `message` for each delivery, `answer` for what answers a greeting or a subscription. */
  read(data: Buffer, heard: { message(): void; answer(): void }): Buffer
}

const lineFeed = 0x0a
const pingAnswered = 0x4f

/** Core NATS: a publish is answered by nothing. */
export const nats: PubSub = {
  greeting: 'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n',
  subscribe: (subject) => `SUB ${subject} 1\r\nPING\r\n`,
  publish: (subject, payload) => Buffer.concat([Buffer.from(`PUB ${subject} ${payload.length}\r\n`), payload, Buffer.from('\r\n')]),
  read: (data, heard) => {
    let at = 0
    for (;;) {
      const feed = data.indexOf(lineFeed, at)
      if (feed < 0) return data.subarray(at)
      const first = data[at]
      let end = feed + 1
      if (first === 0x4d) {
        end += numberBefore(data, feed - 1) + 2
        if (end > data.length) return data.subarray(at)
        heard.message()
      } else if (first === 0x2d) throw new Error(data.toString('latin1', at, feed))
      else if (data[at + 1] === pingAnswered && first === 0x50) heard.answer()
      at = end
    }
  },
}

/** Redis: a publish is answered by the number of its receivers, which nobody waits for here. */
export const redis: PubSub = {
  greeting: 'PING\r\n',
  subscribe: (subject) => `SUBSCRIBE ${subject}\r\n`,
  publish: (subject, payload) =>
    Buffer.concat([Buffer.from(`*3\r\n$7\r\nPUBLISH\r\n$${subject.length}\r\n${subject}\r\n$${payload.length}\r\n`), payload, Buffer.from('\r\n')]),
  read: (data, heard) => {
    let at = 0
    for (;;) {
      const feed = data.indexOf(lineFeed, at)
      if (feed < 0) return data.subarray(at)
      const first = data[at]
      let end = feed + 1
      if (first === 0x2a) {
        end = replyEnd(data, end)
        if (end < 0) return data.subarray(at)
        // `message` has seven letters, `subscribe` nine.
        if (data[feed + 2] === 0x37) heard.message()
        else heard.answer()
      } else if (first === 0x2d) throw new Error(data.toString('latin1', at, feed))
      else if (first === 0x2b) heard.answer()
      at = end
    }
  },
}

/** Where the three elements that begin at `from` end; -1 when they are not whole. */
function replyEnd(data: Buffer, from: number): number {
  let at = from
  for (let i = 0; i < 3; i++) {
    const feed = data.indexOf(lineFeed, at)
    if (feed < 0) return -1
    at = feed + 1 + (data[at] === 0x24 ? numberBefore(data, feed - 1) + 2 : 0)
    if (at > data.length) return -1
  }
  return at
}

/** The decimal number that ends before `end`. */
function numberBefore(data: Buffer, end: number): number {
  let value = 0
  let unit = 1
  for (let i = end - 1; ; i--) {
    const digit = (data[i] as number) - 0x30
    if (digit < 0 || digit > 9) return value
    value += digit * unit
    unit *= 10
  }
}
