import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LocalFiles, nodeRandom } from '@claudemesh/client/node'
import { toB64u } from '@claudemesh/crypto'
import type { Attachment, FileId } from '@claudemesh/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../apps/cli/src/home/config.ts'
import { pickMesh } from '../../apps/cli/src/home/meshes.ts'
import { HandoverServer } from '../../apps/cli/src/launch/handover.ts'
import { Kept } from '../../apps/cli/src/session/kept.ts'
import { Machine, type Running } from './machine.ts'

let machine: Machine
beforeAll(async () => {
  machine = await Machine.up()
})
afterAll(() => machine[Symbol.asyncDispose]())

/** An MCP server of a launched session, called line by line. */
class Server {
  readonly running: Running
  #id = 1

  constructor(socket: string) {
    this.running = machine.start(['mcp', '--handover', socket], { open: true })
    this.#write('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } })
  }

  async call(name: string, input: object = {}): Promise<string> {
    const id = this.#write('tools/call', { name, arguments: input })
    return (await this.running.printed(new RegExp(`^.*"id":${id}[,}].*$`, 'm')))[0]
  }

  #write(method: string, params: object): number {
    this.running.write(`${JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params })}\n`)
    return this.#id
  }
}

test('a file that came with a message is still there for the MCP server that follows a killed one', async () => {
  await using bob = await machine.session('Bob')
  const socket = join(machine.folder, 'key.sock')
  const entry = pickMesh(loadConfig(machine.home), undefined)
  const session = { seed: toB64u(nodeRandom(32)), sessionId: 's', home: machine.home, mesh: entry, name: 'Launched', groups: [] }
  await using keys = await HandoverServer.listen(socket, session)
  void keys
  const killed = new Server(socket)
  expect(await killed.call('list_peers')).toContain('Bob')
  writeFileSync(join(machine.folder, 'plan.txt'), 'the plan')
  await using source = await new LocalFiles({ cwd: machine.folder, home: machine.home, own: [] }).open('plan.txt')
  await bob.send({ to: 'Launched', message: 'have a look', files: [source] })
  const shown = async (): Promise<string> => {
    const answer = await killed.call('check_messages')
    return answer.includes('have a look') ? answer : shown()
  }
  const id = /f_[a-z2-7]{26}/.exec(await shown())?.[0]
  await killed.running.stop('SIGKILL')

  const next = new Server(socket)
  expect(await next.call('get_file', { id, save_to: 'plan.txt' })).toContain('saved and verified')
  expect(readFileSync(join(machine.project, 'plan.txt'), 'utf8')).toBe('the plan')
  next.running.end()
  await next.running.ended
})

const attachment = (letter: string, name = 'a.txt'): Attachment => ({
  id: `f_${letter.repeat(26)}` as FileId,
  name,
  size: 1,
  mime: 'text/plain',
  key: toB64u(new Uint8Array(32)),
  sha256: toB64u(new Uint8Array(32)),
})

test('of what came with messages the first of an id is kept, and nothing of a wrong form', () => {
  const kept = new Kept()
  expect(kept.take(JSON.stringify({ attached: [attachment('a', 'first.txt'), attachment('a', 'second.txt')] }))).toBe(true)
  expect(kept.take(JSON.stringify({ attached: [{ ...attachment('b'), key: 'short' }] }))).toBe(false)
  expect(kept.value.attached).toEqual([attachment('a', 'first.txt')])
})
