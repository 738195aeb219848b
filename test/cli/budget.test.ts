import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultBudget } from '@claudemesh/mcp'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadBudget } from '../../apps/cli/src/home/budget.ts'
import { askRelease, watchRelease } from '../../apps/cli/src/launch/release.ts'
import { liveSessionFolders, SessionFolder } from '../../apps/cli/src/launch/session-folder.ts'

let home: string
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'cm-'))))
afterEach(() => rmSync(home, { recursive: true }))
const write = (text: string) => writeFileSync(join(home, 'limits.json'), text)

test('without a file the defaults hold', () => expect(loadBudget(home, 'team')).toEqual(defaultBudget))

test('the file changes them for all meshes, and for one', () => {
  write('{"answers": 10, "minutes": 2, "meshes": {"team": {"answers": 0, "hops": 3, "thread": 7}}}')
  expect(loadBudget(home, 'local')).toEqual({ ...defaultBudget, answers: 10, windowMs: 120_000 })
  expect(loadBudget(home, 'team')).toEqual({ ...defaultBudget, answers: 0, windowMs: 120_000, hops: 3, thread: 7 })
})

test.each(['', '{', '[]', '{"answers":-1}', '{"answer":1}', '{"thread":1.5}', '{"meshes":{"team":{"hops":"3"}}}', '{"minutes":0}'])(
  '%j is refused, not guessed at',
  (text) => {
    write(text)
    expect(() => loadBudget(home, 'team')).toThrow(expect.objectContaining({ code: 'broken_limits' }))
  },
)

test('a word of continue reaches the sessions that run', async () => {
  using folder = SessionFolder.make(home)
  expect(liveSessionFolders(home)).toContain(folder.path)
  const released = new Promise<void>((resolve) => {
    const off = watchRelease(folder.path, () => {
      off()
      resolve()
    })
  })
  askRelease(folder.path, 0)
  await released
})

test('a folder that is gone is not watched, and that is all', () => expect(watchRelease(join(home, 'nowhere'), () => {})()).toBeUndefined())
