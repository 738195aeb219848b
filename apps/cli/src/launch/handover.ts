import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { LedgerEntry } from '@claudemesh/mcp'
import type { Attachment } from '@claudemesh/protocol'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { meshEntry } from '../home/config.ts'
import { Kept, keptForm } from '../session/kept.ts'

const handover = z.object({
  v: z.literal(1),
  /** Seed of the session key, base64url. */
  seed: z.string(),
  sessionId: z.string(),
  /** Rises at each start of the MCP server. */
  incarnation: z.int().positive(),
  home: z.string(),
  mesh: meshEntry,
  name: z.string(),
  role: z.string().optional(),
  groups: z.array(z.object({ name: z.string(), role: z.string().optional() })),
  /** Patterns of state keys whose changes wake the session. */
  watch: z.array(z.string()).optional(),
  /** What earlier MCP servers of the session left. */
  kept: keptForm,
})

/** All that the MCP server of a launched session needs to be that session. */
export type Handover = z.infer<typeof handover>

/** Hands the session, with what its MCP servers left behind, to each MCP server that asks. The socket lies in the session's 0700 folder: only this user's processes reach it. */
export class HandoverServer implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async listen(path: string, session: Omit<Handover, 'v' | 'incarnation' | 'kept'>): Promise<HandoverServer> {
    let incarnation = 0
    const kept = new Kept()
    const server = createServer((socket) => {
      handover.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => handover.#sockets.delete(socket))
      socket.write(`${JSON.stringify({ v: 1, ...session, incarnation: ++incarnation, kept: kept.value } satisfies Handover)}\n`)
      createInterface({ input: socket })
        .on('line', (line) => kept.take(line) || socket.destroy())
        .on('error', () => socket.destroy())
    })
    const handover = new HandoverServer(server)
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, 0o600)
    return handover
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/** A fetched session. `record` tells the launch what became of its messages; `done` ends that, as does the end of this process. */
export interface Fetched {
  readonly handover: Handover
  readonly record: (entry: LedgerEntry | { readonly attached: readonly Attachment[] }) => void
  readonly done: () => void
}

function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the socket was closed')))
    createInterface({ input: socket }).once('line', resolve).on('error', reject)
  })
}

/** Fetches the session from the launch that started this process. Throws `no_handover` when that launch is gone. */
export async function fetchHandover(path: string): Promise<Fetched> {
  const socket = connect(path)
  try {
    const fetched = handover.parse(JSON.parse(await firstLine(socket)))
    socket.on('error', () => socket.destroy())
    // It must not keep the process that records.
    socket.unref()
    return {
      handover: fetched,
      record: (one) => void (socket.writable && socket.write(`${JSON.stringify(one)}\n`)),
      done: () => socket.end(),
    }
  } catch (cause) {
    socket.destroy()
    throw new Failure('no_handover', 'the `claudemesh launch` that started this session is gone; start the session again', { cause })
  }
}
