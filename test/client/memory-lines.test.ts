import type { MemoryId, MeshId } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { allLines, headOf, readLines, rowLine, writerLine, type SealedRow } from '../../packages/client/src/memory-lines.ts'

const mesh = 'm'.repeat(32) as MeshId
const row = (id: string, seq: number, forgotten = false): SealedRow => ({
  id: id as MemoryId,
  seq,
  writer: 'w1',
  forgotten,
  record: { e: 1, n: 'nonce', c: `c${seq}` },
})
const head = headOf(mesh, 'word')
const writer = writerLine('w1', ['a.b', 'c.d'])

test('rows and writers come back as they were, of one memory the newest', () => {
  const known = readLines(head + writer + rowLine(row('a', 1)) + rowLine(row('b', 2)) + rowLine(row('a', 3, true)), mesh)
  expect(known?.rows).toEqual(
    new Map(
      [
        ['b', row('b', 2)],
        ['a', row('a', 3, true)],
      ].map(([id, r]) => [id, r] as const),
    ),
  )
  expect(known?.writers).toEqual(new Map([['w1', ['a.b', 'c.d']]]))
  expect(readLines(head + (known ? allLines(known) : ''), mesh)?.rows).toEqual(known?.rows)
})

test('a line that a crash cut off is left out, wherever it was cut', () => {
  const whole = head + writer + rowLine(row('a', 1))
  const last = rowLine(row('b', 2))
  for (let cut = 0; cut < last.length; cut++) expect([...(readLines(whole + last.slice(0, cut), mesh)?.rows.keys() ?? [])]).toEqual(['a'])
})

test.each<[string, string]>([
  ['nothing', ''],
  ['another mesh’s', headOf('o'.repeat(32) as MeshId, 'word') + writer],
  ['another version’s', head.replace('1', '2') + writer],
  ['a line of another kind in the middle', `${head}x y z\n${writer}`],
  ['a row without its end in the middle', `${head}${writer}r a 1 w1\n${rowLine(row('b', 2))}`],
  ['a row without its writer', head + rowLine(row('a', 1))],
  ['a row without a seq', `${head}${writer}r a x w1 0 1 n c\n`],
  ['zeros where a block was lost', `${head}${writer}${'\0'.repeat(100)}\n`],
])('of %s nothing is believed', (_, text) => {
  expect(readLines(text, mesh)).toBeUndefined()
})
