import { limits } from '@claudemesh/protocol'

const unseen = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu
const forbidden = /[:*?"<>|]/g
const reserved = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)/iu
const encoder = new TextEncoder()

/** A name that is a plain file of its folder on every system, whatever stood there: no path, no hidden or reserved file, no invisible character, at most 120 bytes. */
export function safeFileName(text: string): string {
  const last = text.normalize('NFC').split(/[/\\]/).at(-1) ?? ''
  const plain = last
    .toWellFormed()
    .replace(unseen, '')
    .replace(forbidden, '_')
    .replace(/\s+/gu, ' ')
    // What begins with a dash would be an option to somebody's shell.
    .replace(/^[\s.~-]+/u, '')
  const short = shortened(plain).replace(/[\s.]+$/u, '')
  if (short === '') return 'file'
  return reserved.test(short) ? shortened(`_${short}`) : short
}

/** Cut to the limit before the extension, between characters. */
function shortened(name: string): string {
  if (fits(name)) return name
  const extension = /\.[\p{L}\p{N}]{1,10}$/u.exec(name)?.[0] ?? ''
  const stem = Array.from(name.slice(0, name.length - extension.length))
  while (!fits(stem.join('') + extension)) stem.pop()
  return stem.join('') + extension
}

const fits = (name: string) => encoder.encode(name).length <= limits.fileNameBytes
