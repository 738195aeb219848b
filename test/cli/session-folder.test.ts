import { once } from 'node:events'
import { connect } from 'node:net'
import type { MessageId } from '@claudemesh/protocol'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fetchHandover, HandoverServer, type Handover } from '../../apps/cli/src/launch/handover.ts'
import { SessionFolder, sweepSessionFolders } from '../../apps/cli/src/launch/session-folder.ts'
import { verifies } from '../harness/verifies.ts'

let home: string
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'cm-'))))
afterEach(() => rmSync(home, { recursive: true, force: true }))

const now = Date.UTC(2030, 0, 1)
const dead = spawnSync(process.execPath, ['-e', '']).pid
const hours = (n: number) => new Date(now - n * 3_600_000)

function orphan(name: string, owner: number, age: number): string {
  const path = join(home, 'sessions', name)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  writeFileSync(join(path, 'owner.pid'), String(owner))
  utimesSync(path, hours(age), hours(age))
  return path
}

describe('a session’s folder', () => {
  test('belongs to this user alone and goes with the session', () => {
    const folder = SessionFolder.make(home)
    folder.write({ 'plugin/.mcp.json': '{}' })
    expect([folder.path, join(folder.path, 'plugin')].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700])
    expect(statSync(join(folder.path, 'plugin/.mcp.json')).mode & 0o777).toBe(0o600)
    folder[Symbol.dispose]()
    expect(existsSync(folder.path)).toBe(false)
  })

  test('lies elsewhere when a socket’s path would be too long under the home folder', () => {
    const deep = join(home, 'x'.repeat(90))
    mkdirSync(deep, { mode: 0o700 })
    using folder = SessionFolder.make(deep)
    expect(folder.path.startsWith(deep)).toBe(false)
    expect(Buffer.byteLength(join(folder.path, 'key.sock'))).toBeLessThan(104)
    expect(statSync(folder.path).mode & 0o777).toBe(0o700)
  })
})

describe('folders of sessions that crashed', () => {
  test('are removed after an hour', () => {
    verifies('launch.sweeps-orphans')
    const path = orphan('s-old', dead, 1.1)
    expect(sweepSessionFolders(home, now)).toEqual([path])
    expect(existsSync(path)).toBe(false)
  })
  test('stay within the hour', () => {
    orphan('s-young', dead, 0.9)
    expect(sweepSessionFolders(home, now)).toEqual([])
  })
  test('stay while their launch lives', () => {
    orphan('s-live', process.pid, 30)
    expect(sweepSessionFolders(home, now)).toEqual([])
  })
  test('are left alone when the name is not ours', () => {
    orphan('other', dead, 30)
    expect(sweepSessionFolders(home, now)).toEqual([])
  })
  test('are not followed through a link', () => {
    const path = orphan('target', dead, 30)
    symlinkSync(path, join(home, 'sessions', 's-link'))
    expect(sweepSessionFolders(home, now)).toEqual([])
    expect(existsSync(path)).toBe(true)
  })
})

const ids = (...texts: string[]) => texts as MessageId[]

describe('the handover of the session key', () => {
  const mesh = { slug: 'team', url: 'ws://x/ws', mesh: 'm', root: 'r', name: 'anna', role: 'member' as const, member: 's', chain: ['a.b'] }
  const session: Omit<Handover, 'v' | 'incarnation' | 'kept'> = {
    seed: 'k',
    sessionId: 'i',
    home: '/h',
    mesh,
    name: 'Alice',
    groups: [{ name: 'frontend', role: 'lead' }],
  }

  test('gives the same session to each process that asks, each with a higher incarnation', async () => {
    const path = join(home, 'key.sock')
    await using server = await HandoverServer.listen(path, session)
    expect(server).toBeDefined()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    for (const incarnation of [1, 2]) {
      const { handover, done } = await fetchHandover(path)
      expect(handover).toEqual({ v: 1, ...session, incarnation, kept: { shown: [], offered: [] } })
      done()
    }
  })

  test('tells the next process what became of the messages, and takes nothing else from its sockets', async () => {
    const path = join(home, 'key.sock')
    await using server = await HandoverServer.listen(path, session)
    expect(server).toBeDefined()
    const first = await fetchHandover(path)
    first.record({ offered: ids('a', 'b', 'c'), transcript: '/t.jsonl' })
    first.record({ surfaced: ids('a') })
    first.record({ withdrawn: ids('b') })
    first.done()
    const stranger = connect(path)
    stranger.resume()
    stranger.write('{"offered":"everything"}\n')
    await once(stranger, 'close')
    const second = await fetchHandover(path)
    expect(second.handover.kept).toEqual({ shown: ['a'], offered: ['c'], transcript: '/t.jsonl' })
    second.done()
  })

  test('ends with the launch', async () => {
    await expect(fetchHandover(join(home, 'nobody.sock'))).rejects.toMatchObject({ code: 'no_handover' })
  })
})
