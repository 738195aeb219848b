import type { Peer } from '@claudemesh/client'
import { expect, test } from 'vitest'
import { age, whySilent } from '../../apps/cli/src/session/why-silent.ts'

const peer = (change: Partial<Peer>) => ({ status: 'idle', connected: true, ...change }) as Peer

test.each<[Peer | undefined, RegExp]>([
  [undefined, /^gone: /],
  [peer({ connected: false }), /^away: /],
  [peer({ status: 'working', since: 0 }), /^working for 3 min: /],
  [peer({ status: 'waiting', since: 0 }), /^waiting for 3 min: a dialog is open/],
  [peer({ status: 'dnd' }), /^dnd: only messages of priority now/],
])('%j is silent because %s', (one, why) => expect(whySilent(one, 200_000)).toMatch(why))

test('an idle peer has no excuse', () => expect(whySilent(peer({}), 0)).toBeUndefined())

test.each([
  [-5, '0 s'],
  [119_999, '119 s'],
  [120_000, '2 min'],
  [7_200_000, '2 h'],
  [172_800_000, '2 d'],
])('%i ms are %s', (ms, text) => expect(age(ms)).toBe(text))
