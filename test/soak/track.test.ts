import { expect, test } from 'vitest'
import { Track } from './track.ts'

/** What a track notes of messages 0 to 2, sent at that time, and of what happens to them. */
function noted(happens: (track: Track) => void): { wrong: string[]; answers: string[] } {
  const wrong: string[] = []
  const answers: string[] = []
  const track = new Track({ answered: (took, code) => answers.push(`${code ?? 'acked'} after ${took}`), wrong: (what) => wrong.push(what) })
  for (const n of [0, 1, 2]) track.sent(n, n)
  happens(track)
  track.end()
  return { wrong, answers }
}

const others = (track: Track) => {
  for (const n of [1, 2]) {
    track.answered(n, 10)
    track.pushed(n)
  }
}

test('nothing is wrong when each message is pushed once, before its ack or after it, or refused', async () => {
  const { wrong, answers } = noted((track) => {
    track.pushed(0)
    track.answered(0, 10)
    track.answered(1, 11, 'overloaded')
    track.answered(2, 12)
    track.pushed(2)
  })
  expect(wrong).toEqual([])
  expect(answers).toEqual(['acked after 10', 'overloaded after 10', 'acked after 10'])
})

test.each([
  ['an acked message was never pushed', (track: Track) => track.answered(0, 5)],
  ['a message was never answered', (track: Track) => track.pushed(0)],
  [
    'a message was pushed again',
    (track: Track) => {
      track.answered(0, 5)
      track.pushed(0)
      track.pushed(0)
    },
  ],
  [
    'a message was answered twice',
    (track: Track) => {
      track.answered(0, 5)
      track.answered(0, 6)
      track.pushed(0)
    },
  ],
  [
    'a message was pushed that was refused, or never sent',
    (track: Track) => {
      track.answered(0, 5, 'overloaded')
      track.pushed(0)
    },
  ],
  [
    'a message was pushed and refused as storage_full',
    (track: Track) => {
      track.pushed(0)
      track.answered(0, 5, 'storage_full')
    },
  ],
  [
    'the broker refused what is no message, as bad_frame',
    (track: Track) => {
      track.answered(Number.NaN, 5, 'bad_frame')
      track.answered(0, 5)
      track.pushed(0)
    },
  ],
])('it notes that %s', (what, happens) => {
  const { wrong } = noted((track) => {
    happens(track)
    others(track)
  })
  expect(wrong).toEqual([what])
})

test('a message that overtakes another is noted', () => {
  const { wrong } = noted((track) => {
    for (const n of [0, 1, 2]) track.answered(n, 10)
    for (const n of [0, 2, 1]) track.pushed(n)
  })
  expect(wrong).toEqual(['a message was pushed after a later one'])
})

test('it is done once the last message under way is', async () => {
  const track = new Track({ answered: () => {}, wrong: () => {} })
  track.sent(7, 0)
  const done = track.done()
  track.answered(7, 1)
  track.pushed(7)
  await expect(done).resolves.toBeUndefined()
})
