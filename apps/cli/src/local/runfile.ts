import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { isAlive, processMark } from '../home/alive.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate } from '../home/private-file.ts'

const running = z.object({ pid: z.int().positive(), mark: z.string(), port: z.int(), url: z.string(), data: z.string(), version: z.string().optional() })

/** The embedded broker of this user, as it wrote itself down. */
export type Running = z.infer<typeof running>

const file = (home: string) => join(home, 'broker.json')

/** The embedded broker that runs now; undefined when there is none, or the one written down is dead. */
export function findRunning(home: string): Running | undefined {
  const parsed = running.safeParse(parse(readPrivate(file(home)) ?? ''))
  if (!parsed.success) return undefined
  const { pid, mark } = parsed.data
  return isAlive(pid) && processMark(pid) === mark ? parsed.data : undefined
}

/** Writes this process down as the embedded broker; disposing the answer takes that back. */
export function announce(home: string, broker: Omit<Running, 'pid' | 'mark'>): Running & Disposable {
  ensurePrivateFolder(home)
  const self: Running = { pid: process.pid, mark: processMark(process.pid), ...broker }
  replacePrivate(file(home), `${JSON.stringify(self)}\n`)
  return {
    ...self,
    [Symbol.dispose]: () => {
      if (findRunning(home)?.pid === process.pid) rmSync(file(home), { force: true })
    },
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
