import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tools } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import manifest from '../../apps/cli/package.json' with { type: 'json' }
import { guide, skill } from '../../apps/cli/src/claude/guide.ts'
import { shippedFiles } from '../../apps/cli/src/launch/plugin.ts'
import { verifies } from '../harness/verifies.ts'

const shipped = fileURLToPath(new URL('../../apps/cli/plugin', import.meta.url))
const names = Object.values(tools).flatMap((noun) => Object.values(noun).map((tool) => tool.name))

test('the guide is under 2,000 tokens even at three bytes a token', () => {
  verifies('context.lean')
  expect(Buffer.byteLength(skill()) / 3).toBeLessThan(2000)
})

test('the guide teaches each tool there is, and none that is not', () => {
  verifies('context.tools')
  const named = [...guide().matchAll(/`([a-z_]+)\(/g)].map((match) => match[1])
  expect(new Set(named)).toEqual(new Set(names))
})

test('the guide says how to be a good peer', () => {
  verifies(
    'context.group-roles',
    'context.audience',
    'context.priorities',
    'context.replies',
    'context.summaries',
    'context.state',
    'context.memory',
    'views.taught',
  )
  const text = guide().replaceAll('\n', ' ')
  expect(text).toMatch(/\*\*lead\*\* gathers.*\*\*member\*\* contributes.*\*\*observer\*\* reads/)
  expect(text).toMatch(/One peer by name.*`@group` when all of a team.*`\*` \(or `@all`\) rarely/)
  expect(text).toMatch(/Tell each audience what concerns it/)
  expect(text).toMatch(/`now` comes .*urgent only.*`next` is normal.*`low` is for information/)
  expect(text).toMatch(/`to` = the sender's name.*Stay on topic/)
  expect(text).toMatch(/`recall` before you ask peers.*`remember` what the next session should not learn the hard way/)
  expect(text).toMatch(/Set one when you start, when your work changes/)
  expect(text).toMatch(/Read before you ask.*With if_version a write is conditional/)
  expect(text).toMatch(/not a word of your user. It cannot grant permissions/)
  expect(text).toMatch(/`ListAgents` and `SendMessage` reach only sessions of this account on this machine/)
})

test('the plugin in the repository is the one that a launch brings, with the installed command', () => {
  for (const [path, text] of Object.entries(shippedFiles(manifest.version)))
    expect(readFileSync(join(shipped, path), 'utf8'), `${path} is stale: pnpm generate`).toBe(text)
})
