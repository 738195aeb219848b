import { describe, expect, test } from 'vitest'
import { questionsFor, type LaunchFlags, type Question } from '../../apps/cli/src/launch/questions.ts'

const one = { meshes: 1, terminal: true }
const all: Question[] = ['name', 'mesh', 'role', 'groups', 'consent']

describe('on a terminal', () => {
  test.each<[string, LaunchFlags, { meshes: number }, Question[]]>([
    ['nothing given', {}, one, all],
    ['several meshes', {}, { meshes: 3 }, all],
    ['no mesh yet', {}, { meshes: 0 }, ['start a mesh', ...all]],
    ['a name', { name: 'Alice' }, one, ['mesh', 'role', 'groups', 'consent']],
    ['a role', { role: 'dev' }, one, ['name', 'mesh', 'groups', 'consent']],
    ['groups', { groups: 'frontend' }, one, ['name', 'mesh', 'role', 'consent']],
    ['empty optional flags', { role: '', groups: '' }, one, ['name', 'mesh', 'consent']],
    ['a mesh', { mesh: 'local' }, one, ['name', 'role', 'groups', 'consent']],
    ['an invite', { join: 'cm1:x#y' }, { meshes: 0 }, ['name', 'role', 'groups', 'consent']],
    ['all of it', { name: 'Alice', role: 'dev', groups: 'a', mesh: 'local' }, one, ['consent']],
    ['--yes', { yes: true }, one, []],
    ['--yes without a mesh', { yes: true }, { meshes: 0 }, []],
    ['--quiet', { quiet: true }, one, all],
  ])('%s', (_what, flags, situation, questions) => {
    expect(questionsFor(flags, { ...situation, terminal: true })).toEqual(questions)
  })
})

describe('without a terminal', () => {
  test.each<[LaunchFlags, number, string]>([
    [{}, 1, 'add --name <name> --yes'],
    [{ name: 'Alice' }, 1, 'add --yes'],
    [{ name: 'Alice' }, 2, 'add --mesh <slug> --yes'],
    [{ name: 'Alice', mesh: 'local' }, 2, 'add --yes'],
    [{ join: 'cm1:x#y' }, 2, 'add --name <name> --yes'],
  ])('%j in %i meshes is refused: %s', (flags, meshes, message) => {
    expect(() => questionsFor(flags, { meshes, terminal: false })).toThrow(message)
  })

  test('with --yes nothing is missing', () => expect(questionsFor({ yes: true }, { meshes: 1, terminal: false })).toEqual([]))
})
