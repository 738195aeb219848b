import { writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { LocalFiles } from '@claudemesh/client/node'
import { Rewake, serveMcp, serveStandby, type Budget, type Ledger } from '@claudemesh/mcp'
import type { Context } from '../context.ts'
import { sessionMark } from '../launch/environment.ts'
import { cardFile } from '../launch/plugin.ts'
import { watchRelease } from '../launch/release.ts'
import { PlainFolder } from '../launch/plain-folder.ts'
import { findInbox } from '../session/inbox.ts'
import type { ModelSession, SessionFlags } from '../session/model-session.ts'
import { findTranscript } from '../session/transcript.ts'
import { vitalsWriter } from '../session/vitals.ts'

export interface McpFlags extends SessionFlags {
  /** The user asked Claude Code for our channel. */
  readonly channel?: boolean
  /** The socket at which a hook waits to wake the session. */
  readonly wake?: string
}

/** The MCP server of one Claude Code session, on stdin and stdout, until either end closes. The mesh is loaded and joined beside the handshake, never before it. */
export async function mcp(context: Context, flags: McpFlags): Promise<void> {
  if (flags.handover === undefined && context.env[sessionMark]) return standBy(context)
  const plain = flags.handover === undefined ? PlainFolder.take(context.home, process.ppid) : undefined
  const folder = flags.handover === undefined ? plain?.path : dirname(flags.handover)
  const claude = context.env['CLAUDE_CONFIG_DIR'] ?? join(homedir(), '.claude')
  const registry = join(claude, 'sessions', `${process.ppid}.json`)
  const rewake = flags.wake === undefined ? undefined : await Rewake.listen(flags.wake)
  let session: Promise<ModelSession> | undefined
  let ledger: Ledger | undefined
  let budget: Budget | undefined
  let watch: readonly string[] = []
  let files: LocalFiles | undefined
  const server = await serveMcp({
    mesh: async () => {
      session = import('../session/model-session.ts').then((module) => module.connectModel(context, flags, { persist: true, showsMail: true, folder }))
      const connected = await session
      ledger = connected.ledger
      budget = connected.budget
      watch = connected.watch
      files = connected.files
      return connected.mesh
    },
    ledger: () => ledger,
    budget: () => budget,
    ...(folder === undefined ? {} : { card: keepCard(join(folder, cardFile)), vitals: vitalsWriter(folder, context) }),
    watch: () => watch,
    files: () => files,
    registry,
    transcript: () => findTranscript(registry, join(claude, 'projects')),
    inbox: () => findInbox(context.env, registry),
    ...(flags.channel ? { channel: true } : {}),
    ...(rewake ? { rewake } : {}),
    input: context.stdin,
    output: context.stdout,
    version: context.version,
    clock: context.clock,
  })
  const unwatch = folder === undefined ? () => {} : watchRelease(folder, () => server.release())
  await Promise.race([server.closed, stopSignal()])
  unwatch()
  // Claude Code kills half a second after it asked; the broker is told as much of the end as fits into that.
  await server[Symbol.asyncDispose]()
  await rewake?.[Symbol.asyncDispose]()
  const connected = await session?.catch(() => undefined)
  await connected?.mesh.close({ bye: flags.handover === undefined })
  plain?.[Symbol.dispose]()
}

/** In a launched session the server of `install` has nothing to do: two would be two peers. */
async function standBy({ stdin, stdout, version }: Context): Promise<void> {
  const server = await serveStandby({ input: stdin, output: stdout, version })
  await Promise.race([server.closed, stopSignal()])
  await server[Symbol.asyncDispose]()
}

/** A card that cannot be kept is a convenience less. */
const keepCard = (path: string) => (text: string) => {
  try {
    writeFileSync(path, text, { mode: 0o600 })
  } catch {
    // The session's folder goes when the session ends.
  }
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}
