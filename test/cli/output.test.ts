import { expect, test } from 'vitest'
import { columns, plainText } from '../../apps/cli/src/output.ts'

test('columns align by what a terminal shows: wide letters, emoji of several and colours', () => {
  const rows = [
    ['Zoë 日本', 'a'],
    ['👩‍👩‍👧', 'b'],
    ['\u001b[32mgreen\u001b[39m', 'c'],
  ]
  expect(columns(rows)).toEqual(['Zoë 日本  a', '👩‍👩‍👧        b', '\u001b[32mgreen\u001b[39m     c'])
})

test('joiners inside of an emoji or a word stay; alone, and whatever else is invisible, they are shown', () => {
  for (const text of ['👩‍👩‍👧', '👩🏽‍💻', 'می‌خواهم', 'one\ntwo\t']) expect(plainText(text)).toBe(text)
  expect(plainText('a \u200d b')).toBe('a \\u{200d} b')
  expect(plainText('a\u200b\u202e\u001b[2J')).toBe('a\\u{200b}\\u{202e}\\u{1b}[2J')
})
