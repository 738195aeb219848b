import { MeshError } from './errors.ts'
import { limits } from './limits.ts'
import { foldName } from './names.ts'

const tag = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._:/-]*$/u
const utf8 = new TextEncoder()

/** The text of a memory, NFC and trimmed. Throws `bad_memory`, or `too_large` beyond 16 KiB. */
export function parseMemory(text: string): string {
  if (!text.isWellFormed() || text.includes('\0')) throw new MeshError('bad_memory', 'the text contains a NUL or half of a surrogate pair')
  const content = text.normalize('NFC').trim()
  if (content === '') throw new MeshError('bad_memory', 'the text is empty')
  const size = utf8.encode(content).length
  if (size > limits.memory) throw new MeshError('too_large', `the memory has ${size} bytes, over ${limits.memory}; keep the point and share the rest as a file`)
  return content
}

/** Tags in their one folded form, each once, a leading # removed. Throws `bad_memory` saying which rule one breaks. */
export function parseTags(tags: readonly string[]): string[] {
  const parsed = [...new Set(tags.map(parseTag))]
  if (parsed.length > limits.tagsPerRecord) throw new MeshError('bad_memory', `over ${limits.tagsPerRecord} tags`)
  return parsed
}

function parseTag(text: string): string {
  const name = foldName(text.startsWith('#') ? text.slice(1) : text).replaceAll(' ', '-')
  if (name.length > limits.tagChars) throw new MeshError('bad_memory', `a tag is over ${limits.tagChars} characters`)
  if (!tag.test(name)) throw new MeshError('bad_memory', `the tag ${JSON.stringify(name)} may contain letters, digits and . _ : / -`)
  return name
}
