import { createServer, connect, type Server } from 'node:net'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { meshEntry } from '../home/config.ts'

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
})

/** All that the MCP server of a launched session needs to be that session. */
export type Handover = z.infer<typeof handover>

/** Hands the session to each MCP server that asks. The socket lies in the session's 0700 folder: only this user's processes reach it. */
export class HandoverServer implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async listen(path: string, session: Omit<Handover, 'v' | 'incarnation'>): Promise<HandoverServer> {
    let incarnation = 0
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.end(`${JSON.stringify({ v: 1, ...session, incarnation: ++incarnation } satisfies Handover)}\n`)
    })
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, 0o600)
    return new HandoverServer(server)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/** Fetches the session from the launch that started this process. Throws `no_handover` when that launch is gone. */
export async function fetchHandover(path: string): Promise<Handover> {
  const socket = connect(path)
  const parts: Buffer[] = []
  try {
    for await (const part of socket) parts.push(part as Buffer)
    return handover.parse(JSON.parse(Buffer.concat(parts).toString('utf8')))
  } catch (cause) {
    throw new Failure('no_handover', 'the `claudemesh launch` that started this session is gone; start the session again', { cause })
  }
}
