import { createServer } from 'node:net'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { isAlive } from '../../apps/cli/src/home/alive.ts'
import { Machine } from './machine.ts'
import { freshStore } from '../harness/fresh-store.ts'

interface Up {
  url: string
  port: number
  pid: number
  data: string
  mesh: string
}

async function machineWithStore(): Promise<Machine> {
  const machine = new Machine()
  await freshStore(join(machine.home, 'data'))
  return machine
}

const up = (machine: Machine, ...args: string[]) => machine.json<Up>(['up', '--port', '0', '--detach', ...args])

test('in the background: up, up again, down, down again', async () => {
  await using machine = await machineWithStore()
  const first = await up(machine)
  expect(await up(machine)).toEqual(first)
  expect(await (await fetch(`http://127.0.0.1:${first.port}/metrics`)).text()).toContain('\nclaudemesh_sessions 0\n')
  expect(await machine.json(['down'])).toEqual({ stopped: true, pid: first.pid })
  expect(isAlive(first.pid)).toBe(false)
  expect(existsSync(join(machine.home, 'broker.json'))).toBe(false)
  expect(await machine.json(['down'])).toEqual({ stopped: false })
  expect((await machine.run(['status'])).code).toBe(1)
})

test('in the foreground it serves until Ctrl-C and ends with 0', async () => {
  await using machine = await machineWithStore()
  const serving = machine.start(['up', '--port', '0', '--json'])
  const report = JSON.parse((await serving.printed(/\{.*\}/))[0]) as Up
  expect(report).toMatchObject({ pid: serving.child.pid, mesh: 'local' })
  expect(await machine.json(['status'])).toMatchObject({ meshes: [{ reachable: true }] })
  expect((await serving.stop('SIGINT')).code).toBe(0)
})

test('in the background it goes on when who started it does not wait', async () => {
  await using machine = await machineWithStore()
  const serving = machine.start(['up', '--port', '0'], { ipc: true })
  serving.child.disconnect()
  await serving.printed(/serves until Ctrl-C/)
  expect(await machine.json(['status'])).toMatchObject({ meshes: [{ reachable: true }] })
  // Node says no close of a process from whom its parent disconnected.
  const exit = once(serving.child, 'exit')
  serving.child.kill('SIGINT')
  expect(await exit).toEqual([0, null])
  expect(serving.err).toBe('')
})

test('the mesh, its members and its port may change hands: after kill -9 the next up carries on', async () => {
  await using machine = await machineWithStore()
  const serving = machine.start(['up', '--port', '0', '--json'])
  const first = JSON.parse((await serving.printed(/\{.*\}/))[0]) as Up
  const before = await machine.json(['list'])
  expect(await serving.stop('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
  const second = await up(machine)
  expect(second).toMatchObject({ mesh: 'local', data: first.data })
  expect(second.pid).not.toBe(first.pid)
  const { meshes } = await machine.json<{ meshes: { mesh: string; url: string }[] }>(['list'])
  expect(meshes).toHaveLength(1)
  expect(meshes[0]?.url).toBe(`${second.url}/ws`)
  expect(before).toMatchObject({ meshes: [{ mesh: meshes[0]?.mesh }] })
  expect(await machine.json(['peers'])).toEqual({ mesh: 'local', peers: [] })
})

test('with its data gone the local mesh is founded anew', async () => {
  await using machine = await machineWithStore()
  const { data } = await up(machine)
  const before = await machine.json<{ meshes: { mesh: string }[] }>(['list'])
  await machine.run(['down'])
  rmSync(data, { recursive: true })
  await up(machine)
  const after = await machine.json<{ meshes: { mesh: string }[] }>(['list'])
  expect(after.meshes).toHaveLength(1)
  expect(after.meshes[0]?.mesh).not.toBe(before.meshes[0]?.mesh)
})

test('a second data folder has a mesh of its own', async () => {
  await using machine = await machineWithStore()
  await up(machine)
  await machine.run(['down'])
  expect(await up(machine, '--data', 'elsewhere')).toMatchObject({ mesh: 'local-2', data: join(machine.project, 'elsewhere') })
})

test('a port that something else has is named, with the way out', async () => {
  await using machine = await machineWithStore()
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  expect(await machine.refusal(['up', '--port', String(port)])).toMatchObject({ exit: 1, code: 'port_taken', message: expect.stringContaining('--port') })
  const detached = await machine.refusal(['up', '--port', String(port), '--detach'])
  expect(detached).toMatchObject({ exit: 1, message: expect.stringContaining('--port') })
  other.close()
})

test('another port while it runs is a conflict, not a second broker', async () => {
  await using machine = await machineWithStore()
  const { port } = await up(machine)
  expect(await machine.refusal(['up', '--port', String(port === 65_535 ? 1 : port + 1)])).toMatchObject({
    exit: 1,
    code: 'port_taken',
    message: expect.stringContaining('claudemesh down'),
  })
})

test('two users cannot open one data folder', async () => {
  await using machine = await machineWithStore()
  await using other = new Machine()
  const { data } = await up(machine)
  expect(await other.refusal(['up', '--port', '0', '--data', data])).toMatchObject({ exit: 1, code: 'data_in_use' })
})
