import { contract, foldName, limits, MeshError, parseGroup, parseLabel, parseName } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const refused = (says: RegExp) => expect.objectContaining({ code: 'bad_name', message: expect.stringMatching(says) })
const fullwidthAlice = '\u{ff21}\u{ff4c}\u{ff49}\u{ff43}\u{ff45}'

describe('parseName', () => {
  test.each([
    ['Alice', 'Alice'],
    ['  Big \t T ', 'Big T'],
    [fullwidthAlice, 'Alice'],
    ['Ame\u0301lie', 'Am\u00e9lie'],
    ['Алиса', 'Алиса'],
    ['田中 Kenji', '田中 Kenji'],
    ['철수', '철수'],
    ['🔥 7', '🔥 7'],
    ["O'Neil-2.0_x", "O'Neil-2.0_x"],
  ])('shows %j as %j', (text, shown) => expect(parseName(text)).toBe(shown))

  test.each([
    ['a Cyrillic letter in a Latin name', '\u0410lice', /mixes scripts/],
    ['a Greek letter in a Latin name', 'Alic\u03b5', /mixes scripts/],
    ['Hangul beside kana', '철か', /mixes scripts/],
    ['a zero-width joiner', 'Al\u200dice', /invisible/],
    ['a right-to-left override', 'Al\u202eice', /invisible/],
    ['a tag character', 'Alice\u{e0041}', /invisible/],
    ['a soft hyphen', 'Al\u00adice', /invisible/],
    ['a Hangul filler', 'Alice\u3164', /invisible/],
    ['a variation selector', 'Alice\ufe0f', /invisible/],
    ['an escape character', 'Al\u001b[31mice', /invisible/],
    ['a lone surrogate', 'Al\ud800ice', /invisible/],
    ['nothing', '', /empty/],
    ['only blanks', ' \t\n', /empty/],
  ])('refuses %s', (_, text, says) => expect(() => parseName(text)).toThrow(refused(says)))

  test.each([...'@*/(),:#<>"\\[]{}|`'])('refuses the character %s of the target grammar', (c) => {
    expect(() => parseName(`Al${c}ice`)).toThrow(refused(/contains one of/))
  })

  test.each(['all', 'ALL', 'me', 'System', 'broker', '\u{ff35}ser'])('refuses the reserved name %s', (text) => {
    expect(() => parseName(text)).toThrow(refused(/reserved/))
  })

  test('takes 64 characters and refuses 65', () => {
    expect(parseName('a'.repeat(limits.nameChars))).toHaveLength(64)
    expect(() => parseName('a'.repeat(limits.nameChars + 1))).toThrow(refused(/over 64/))
  })
})

describe('foldName', () => {
  test('sees through case, width and blanks', () => {
    for (const text of ['alice', 'ALICE', ' Alice ', fullwidthAlice]) expect(foldName(text)).toBe('alice')
    expect(foldName('Big   T')).toBe(foldName('big t'))
  })

  test('does not take a look-alike for the same name', () => expect(foldName('\u0410lice')).not.toBe('alice'))

  test('is its own fixed point', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(foldName(foldName(text))).toBe(foldName(text))
      }),
      { numRuns: 500 },
    )
  })
})

describe('parseGroup', () => {
  test.each([
    ['frontend', 'frontend'],
    ['@Frontend', 'frontend'],
    ['@all', 'all'],
    ['команда', 'команда'],
    ['v2.1_rc-3', 'v2.1_rc-3'],
  ])('reads %s as %s', (text, group) => expect(parseGroup(text)).toBe(group))

  test.each([
    ['a blank inside', 'front end', /may contain/],
    ['two signs', '@@frontend', /may contain/],
    ['a dash in front', '-frontend', /may contain/],
    ['a quote', "o'neil", /may contain/],
    ['a reserved name', '@me', /reserved/],
    ['only the sign', '@', /empty/],
    ['mixed scripts', 'fr\u043entend', /mixes scripts/],
    ['65 characters', 'g'.repeat(65), /over 64/],
  ])('refuses %s', (_, text, says) => expect(() => parseGroup(text)).toThrow(refused(says)))
})

describe('parseLabel', () => {
  test('keeps a sentence, emoji and scripts as they are', () => {
    expect(parseLabel(' Fixing ⚠\ufe0f auth, см. PR ', 'summary', 280)).toBe('Fixing ⚠\ufe0f auth, см. PR')
    expect(parseLabel('', 'summary', 280)).toBe('')
  })

  test.each([
    ['a line break', 'a\nb'],
    ['a right-to-left override', 'a\u202eb'],
    ['a tag character', 'a\u{e0041}'],
    ['a line separator', 'a\u2028b'],
  ])('refuses %s', (_, text) => expect(() => parseLabel(text, 'role', 64)).toThrow(refused(/the role contains control or invisible/)))

  test('takes the limit and refuses one more', () => {
    expect(parseLabel('r'.repeat(64), 'role', 64)).toHaveLength(64)
    expect(() => parseLabel('r'.repeat(65), 'role', 64)).toThrow(refused(/over 64/))
  })
})

test('what the naming rules accept fits the contract, and they throw nothing but bad_name', () => {
  const join = contract.groups.join.input.shape
  const accepted = <T>(parse: () => T): T | undefined => {
    try {
      return parse()
    } catch (error) {
      expect(error).toBeInstanceOf(MeshError)
      return undefined
    }
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 150 }), (text) => {
      const name = accepted(() => parseName(text))
      const group = accepted(() => parseGroup(text))
      const role = accepted(() => parseLabel(text, 'role', limits.roleChars))
      if (name !== undefined) expect(contract.session.hello.input.shape.displayName.safeParse(name).success).toBe(true)
      if (group !== undefined) expect(join.name.safeParse(group).success).toBe(true)
      if (group !== undefined) expect(contract.messages.send.input.shape.targetSpec.safeParse(`@${group}`).success).toBe(true)
      if (role !== undefined) expect(join.role.safeParse(role).success).toBe(true)
    }),
    { numRuns: 500 },
  )
})
