/** A complete unmasked WebSocket text frame. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const start = headerSize(length)
  const frame = Buffer.allocUnsafe(start + length)
  writeHeader(frame, length)
  frame.write(text, start, 'utf8')
  return frame
}

/** The beginning of a text frame: its header and `head`, which `tailLength` more bytes of payload follow. */
export function frameHead(head: string, tailLength: number): Buffer {
  const length = Buffer.byteLength(head)
  const start = headerSize(length + tailLength)
  const frame = Buffer.allocUnsafe(start + length)
  writeHeader(frame, length + tailLength)
  frame.write(head, start, 'utf8')
  return frame
}

function headerSize(length: number): number {
  if (length < 126) return 2
  return length < 65_536 ? 4 : 10
}

function writeHeader(frame: Buffer, length: number): void {
  frame[0] = 0x81
  if (length < 126) frame[1] = length
  else if (length < 65_536) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(0, 2)
    frame.writeUInt32BE(length, 6)
  }
}
