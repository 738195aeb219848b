/** Bytes before the payload of an unmasked WebSocket frame. */
export function headerSize(length: number): number {
  if (length < 126) return 2
  return length < 65_536 ? 4 : 10
}

/** Writes the header of an unmasked text frame at `at`, and gives the place after it. */
export function writeHeader(out: Buffer, at: number, length: number): number {
  out[at] = 0x81
  if (length < 126) {
    out[at + 1] = length
    return at + 2
  }
  if (length < 65_536) {
    out[at + 1] = 126
    out.writeUInt16BE(length, at + 2)
    return at + 4
  }
  out[at + 1] = 127
  out.writeUInt32BE(0, at + 2)
  out.writeUInt32BE(length, at + 6)
  return at + 10
}
