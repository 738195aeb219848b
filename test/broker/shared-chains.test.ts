import { expect, test } from 'vitest'
import { SharedChains } from '../../packages/broker/src/shared-chains.ts'

test('a chain stays what it is, and of what sessions have in common no more is remembered than may be', () => {
  const chains = new SharedChains(3)
  for (let member = 0; member < 100; member++) {
    const chain = ['admin', `invite ${member}`, `member ${member}`, `session ${member}`]
    expect(chains.share(chain)).toEqual(chain)
    expect(chains.share([...chain.slice(0, -1), 'another session'])).toEqual([...chain.slice(0, -1), 'another session'])
    expect(chains.size).toBeLessThanOrEqual(3)
  }
  expect(chains.share([])).toEqual([])
})

test("a session's own certificate is not remembered", () => {
  const chains = new SharedChains(3)
  chains.share(['session'])
  chains.share(['member', 'session'])
  expect(chains.size).toBe(1)
})
