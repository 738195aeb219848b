import { addressesOf, limits, parseGroupList, parseTarget, tools } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'

const badName = expect.objectContaining({ code: 'bad_name' })

describe('parseTarget', () => {
  test.each([
    ['*', { kind: 'everyone' }],
    ['@all', { kind: 'everyone' }],
    [' @ALL ', { kind: 'everyone' }],
    ['@Frontend', { kind: 'group', group: 'frontend' }],
    ['Alice', { kind: 'peer', name: 'alice' }],
    ['Big  T', { kind: 'peer', name: 'big t' }],
    ['Alice/3f2a', { kind: 'peer', name: 'alice', keyPrefix: '3f2a' }],
    ['Alice/Ab_-9', { kind: 'peer', name: 'alice', keyPrefix: 'Ab_-9' }],
    ['Alice (Anna)', { kind: 'peer', name: 'alice', member: 'anna' }],
    ['Big T(Anna K)', { kind: 'peer', name: 'big t', member: 'anna k' }],
  ])('reads %j', (text, target) => expect(parseTarget(text)).toEqual(target))

  test.each(['', '  ', '@', '@front end', '@me', '@@x', '@\u202ex'])('refuses %j', (text) => expect(() => parseTarget(text)).toThrow(badName))

  test('a key prefix of one character is none', () => expect(parseTarget('Alice/3')).toEqual({ kind: 'peer', name: 'alice/3' }))
})

test('send_message takes one target or an array that mixes names and groups', () => {
  const send = (to: unknown) => tools.messages.send.input.safeParse({ to, message: 'hey' }).success
  expect(send('Alice')).toBe(true)
  expect(send(['Alice', '@backend', '*'])).toBe(true)
  expect(send(Array.from({ length: limits.targets }, () => 'Alice'))).toBe(true)
  expect(send(Array.from({ length: limits.targets + 1 }, () => 'Alice'))).toBe(false)
  for (const to of [[], '', [''], 7, { name: 'Alice' }, [['Alice']]]) expect(send(to)).toBe(false)
})

test('addressesOf: everybody answers to *, @all and the groups joined', () => {
  expect(addressesOf([{ name: 'frontend' }, { name: 'ops' }])).toEqual(new Set(['*', '@all', '@frontend', '@ops']))
  expect(addressesOf([])).toEqual(new Set(['*', '@all']))
})

describe('parseGroupList', () => {
  test('reads names with and without roles', () => {
    verifies('groups.format')
    expect(parseGroupList('frontend:lead, @Reviewers , all')).toEqual([{ name: 'frontend', role: 'lead' }, { name: 'reviewers' }, { name: 'all' }])
  })

  test.each([
    ['', []],
    [' , ,', []],
    ['a:', [{ name: 'a' }]],
    ['a : Team lead ', [{ name: 'a', role: 'Team lead' }]],
    ['a:b:c', [{ name: 'a', role: 'b:c' }]],
    ['a:lead,A:observer', [{ name: 'a', role: 'observer' }]],
  ])('reads %j', (text, groups) => expect(parseGroupList(text)).toEqual(groups))

  test.each([':lead', 'a b', 'me', 'a:\u202elead', `a:${'r'.repeat(65)}`])('refuses %j', (text) => expect(() => parseGroupList(text)).toThrow(badName))
})
