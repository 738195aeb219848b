import type { MeshId, MessageId } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { Recent } from '../../packages/broker/src/recent.ts'

const mesh = 'mesh' as MeshId
const id = (n: number) => `message ${n}` as MessageId

test('the last sends are recognised, and never more than twice as many', () => {
  const recent = new Recent(10)
  for (let n = 0; n < 1000; n++) {
    expect(recent.repeats(mesh, id(n))).toBe(false)
    for (let back = 0; back < Math.min(10, n); back++) expect(recent.repeats(mesh, id(n - back))).toBe(true)
  }
  expect(recent.repeats(mesh, id(0))).toBe(false)
})

test('what was not stored may be sent again, however long ago that was tried', () => {
  const recent = new Recent(2)
  recent.repeats(mesh, id(1))
  recent.repeats(mesh, id(2))
  for (const n of [1, 2]) {
    recent.forget(id(n))
    expect(recent.repeats(mesh, id(n))).toBe(false)
  }
})
