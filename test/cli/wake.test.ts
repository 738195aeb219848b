import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Running } from './machine.ts'

const script = fileURLToPath(new URL('../../apps/cli/src/wake.ts', import.meta.url))
let folder: string
let socket: string
const open: (Server | Running)[] = []
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'cm-')), 'session')
  mkdirSync(folder)
  socket = join(folder, 'wake.sock')
})
afterEach(async () => {
  for (const one of open.splice(0)) await (one instanceof Running ? one.stop('SIGKILL') : one.close())
  rmSync(join(folder, '..'), { recursive: true, force: true })
})

/** A hook process, as Claude Code starts it. */
function hook(): Running {
  const running = new Running(spawn(process.execPath, [script, socket]))
  open.push(running)
  return running
}

/** The server of the session; with each hook that comes. */
async function serve(): Promise<{ next: () => Promise<Socket>; stop: () => void }> {
  const server = createServer().listen(socket)
  open.push(server)
  const sockets: Socket[] = []
  server.on('connection', (one) => {
    one.on('error', () => {})
    sockets.push(one)
  })
  await once(server, 'listening')
  const stop = () => {
    for (const one of sockets) one.destroy()
    server.close()
  }
  return { next: async () => ((await once(server, 'connection')) as [Socket])[0], stop }
}

test('what it is told goes to the session: on stderr, with 2', async () => {
  const { next } = await serve()
  const waiting = hook()
  const told = await next()
  told.end(`${JSON.stringify({ wake: '<peer-message …>\nline 2' })}\n`)
  expect(await waiting.ended).toMatchObject({ code: 2, out: '', err: '<peer-message …>\nline 2' })
})

test('where a newer one waits it goes, and disturbs nobody', async () => {
  const { next } = await serve()
  const waiting = hook()
  const told = await next()
  told.end('{}\n')
  expect(await waiting.ended).toMatchObject({ code: 0, out: '', err: '' })
})

test('it waits for a server that is not there yet, and over one that dies in the middle of a word', async () => {
  const waiting = hook()
  const first = await serve()
  const cut = await first.next()
  cut.write('{"wake":"half a ')
  first.stop()
  const second = await serve()
  const told = await second.next()
  told.end(`${JSON.stringify({ wake: 'whole' })}\n`)
  expect(await waiting.ended).toMatchObject({ code: 2, err: 'whole' })
})

test('it ends with the session, whose folder is gone', async () => {
  const waiting = hook()
  rmSync(folder, { recursive: true })
  expect(await waiting.ended).toMatchObject({ code: 0, err: '' })
})
