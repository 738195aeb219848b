import { z } from 'zod'
import { event, request, tool } from '../define.ts'
import { millis, sealedRecord, token } from '../fields.ts'
import { memoryId } from '../ids.ts'
import { limits } from '../limits.ts'

const record = sealedRecord(limits.memoryRecord).optional().describe('Sealed form: the signed token under the key of the mesh.')
const recordToken = z
  .string()
  .max(limits.memoryTokenChars)
  .regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/, 'expected a signed token')
  .optional()
  .describe('Plain form: the signed token itself, whose text and tags the broker reads and indexes.')

const row = z.object({
  memoryId,
  seq: z.int().positive().describe('Rises with every memory and every forgetting in the mesh.'),
  record,
  token: recordToken,
  chain: z.array(z.int().nonnegative()).min(2).max(limits.chainTokens).describe('The writer’s certificates: indexes into the tokens of the same frame.'),
})
const rows = { memories: z.array(row), tokens: z.array(token) }

const tag = z.string().min(1).max(limits.tagChars)
const tags = z.array(tag).max(limits.tagsPerRecord).optional()
const query = z.string().max(limits.recallChars)
const limit = z.int().positive().max(limits.recallResults).optional()

export const memory = {
  remember: request('remember', {
    doc: 'Keeps a memory for the whole mesh, in the form that the signed policy asks for: wrong_form otherwise. Repeating the same id repeats the answer.',
    input: { memoryId, record, token: recordToken },
    reply: 'memory_stored',
    output: { memoryId },
  }),
  recall: request('recall', {
    doc: 'Plain form only: full-text search, best first. Words match by their English stem, "a phrase" as a whole, -word excludes. A sealed mesh is searched by its clients, over sync_memories.',
    input: {
      query,
      tags: tags.describe('Only memories that bear all of these.'),
      by: z.string().min(1).max(limits.nameChars).optional().describe('Only those of members of this name.'),
      since: millis.optional(),
      limit,
    },
    reply: 'memory_results',
    output: rows,
  }),
  forget: request('forget', {
    doc: 'Takes a memory out of every recall; its row stays, marked. In the sealed form a signed record saying so takes its place.',
    input: { memoryId, record },
  }),
  sync: request('sync_memories', {
    doc: 'The sealed memories whose seq is above `after`, in its order and in pages; what was forgotten is among them.',
    input: { after: z.int().nonnegative() },
    reply: 'memory_rows',
    output: {
      ...rows,
      more: z.boolean(),
      head: z.int().nonnegative().describe('The highest seq there is. Below a cursor of the client it tells of a store that was set back.'),
    },
  }),
  changed: event('memory_change', {
    doc: 'Somebody else remembered or forgot something: there are rows up to this seq.',
    body: { seq: z.int().positive() },
  }),
}

export const memoryTools = {
  remember: tool('remember', {
    doc: 'Keep a lesson, decision or fact for all present and future peers of this mesh. One thing per memory, in full sentences.',
    input: { content: z.string().min(1).describe('The text, up to 16 KiB'), tags: tags.describe('Up to 16 short labels, such as ["payments", "incident"]') },
  }),
  recall: tool('recall', {
    doc: 'Search what the mesh remembers; best first, with author, date, tags and id.',
    input: {
      query: query.min(1).describe('Words or a question; "a phrase" matches as a whole, -word excludes'),
      tags: tags.describe('Only memories with all of these tags'),
      by: z.string().min(1).max(limits.nameChars).optional().describe('Only memories of this member'),
      since: z.string().max(32).optional().describe('Only since this date, such as 2026-01-31'),
      limit: limit.describe('At most this many, 8 unless told'),
    },
  }),
  forget: tool('forget', {
    doc: 'Take a memory that is wrong or outdated out of recall, for everybody.',
    input: { id: memoryId.describe('The id that remember or recall gave') },
  }),
}
