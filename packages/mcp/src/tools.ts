import type { FileSource, KeptMessage, Mesh, MessageStatus, Peer, SendResult } from '@claudemesh/client'
import type { LocalFiles } from '@claudemesh/client/node'
import { MeshError, check, tools, type MessageId, type SessionPubkey, type Tool, type ToolInput } from '@claudemesh/protocol'
import { definedOf, getFile, listFiles, localFiles, readerRow, shareFile } from './file-tools.ts'
import { framePeerMessages, longestText } from './frame.ts'
import { forget, recall, remember } from './memories.ts'
import type { Notices } from './notices.ts'
import type { StateNews } from './state-news.ts'
import { getState, listState, setState } from './state-tools.ts'
import { visible } from './visible.ts'

type Tools = typeof tools

/** The turn of the session in which a tool is called. */
export interface Turn {
  readonly notices?: Notices
  readonly news?: StateNews
  /** What a message sent in it bears: 0 when a user began it. */
  readonly hops?: number
  /** Hears what was sent in it, to whom, and which message it answers. */
  readonly sent?: (id: MessageId, to: readonly SessionPubkey[], re: string | undefined) => void
  /** The files of this machine that it may share and save. */
  readonly files?: LocalFiles
}

type Handler<T> = (mesh: Mesh, input: ToolInput<T>, turn: Turn) => Promise<string | object> | string | object
type Handlers = { readonly [N in keyof Tools]: { readonly [V in keyof Tools[N]]: Handler<Tools[N][V]> } }

/** Most characters of one answer to check_messages. */
const longestAnswer = 160_000

// A tool of the contract without a handler here does not compile.
const handlers: Handlers = {
  peers: {
    list: (mesh, { group }) => listPeers(mesh, group),
    setSummary: async (mesh, { summary }) => {
      await mesh.setSummary(summary)
      return 'Your summary is set.'
    },
    setStatus: async (mesh, { status }) => {
      await mesh.setStatus(status)
      return status === 'dnd' ? 'Your status is dnd: only messages of priority now reach you, the others wait for check_messages.' : `Your status is ${status}.`
    },
  },
  groups: {
    join: async (mesh, { name, role }) => {
      await mesh.joinGroup(name, role)
      return { groups: mesh.me.groups }
    },
    leave: async (mesh, { name }) => {
      await mesh.leaveGroup(name)
      return { groups: mesh.me.groups }
    },
  },
  messages: {
    send: (mesh, input, turn) => sendMessage(mesh, input, turn),
    check: (mesh, _input, turn) => checkMessages(mesh, turn),
    status: async (mesh, { id }) => statusOf(await mesh.status(id as MessageId)),
  },
  state: { set: setState, get: getState, list: listState },
  memory: { remember, recall, forget },
  files: {
    share: (mesh, input, turn) => shareFile(mesh, input, turn),
    get: (mesh, input, turn) => getFile(mesh, input, turn),
    list: listFiles,
    status: async (mesh, { id }) => ({ id, readers: (await mesh.files.status(id)).map(readerRow) }),
    delete: async (mesh, { id }) => {
      await mesh.files.delete(id)
      return 'The file is deleted.'
    },
  },
}

interface Entry {
  readonly tool: Tool
  readonly run: Handler<Tool>
}

const byName: ReadonlyMap<string, Entry> = new Map(
  Object.entries(tools).flatMap(([noun, verbs]) =>
    Object.entries(verbs).map(([verb, tool]: [string, Tool]) => [tool.name, { tool, run: handlerOf(noun, verb) }] as const),
  ),
)

function handlerOf(noun: string, verb: string): Handler<Tool> {
  return (handlers as unknown as Record<string, Record<string, Handler<Tool>>>)[noun]?.[verb] as Handler<Tool>
}

/** All tools, in the contract's order. */
export const toolList: readonly Tool[] = [...byName.values()].map(({ tool }) => tool)

/**
 * Runs one tool of protocol's `tools` against a mesh: the same for the model and for the shell.
 * Objects quote peers and are for `frameData`; strings are safe to show. Throws MeshError, `not_found` for an unknown tool.
 */
export async function runTool(mesh: Mesh, name: string, args: unknown, turn: Turn = {}): Promise<string | object> {
  const entry = byName.get(name)
  if (!entry) throw new MeshError('not_found', `there is no tool ${JSON.stringify(name)}; there are ${[...byName.keys()].join(', ')}`)
  return entry.run(mesh, check(name, entry.tool.input, args ?? {}), turn)
}

function listPeers(mesh: Mesh, group: string | undefined): object {
  const { name, role, groups, status, summary, fingerprint } = mesh.me
  return { you: { name, status, role, groups, summary, key: fingerprint }, peers: mesh.peers(group === undefined ? {} : { group }).map(peerRow) }
}

function peerRow({ name, status, role, groups, summary, fingerprint, member, connected }: Peer): object {
  return { name, status, role, groups, summary, key: fingerprint, member: member.name, ...(connected ? {} : { connected }) }
}

async function sendMessage(mesh: Mesh, { to, message, file, files = [], ...rest }: ToolInput<Tools['messages']['send']>, turn: Turn): Promise<object> {
  const paths = file === undefined ? files : [file, ...files]
  await using sources = new AsyncDisposableStack()
  const opened: FileSource[] = []
  for (const path of paths) opened.push(sources.use(await localFiles(turn).open(path)))
  const result = await mesh.send({ to, message, hops: turn.hops ?? 0, ...definedOf(rest), ...(opened.length === 0 ? {} : { files: opened }) })
  turn.sent?.(
    result.id,
    result.recipients.map((peer) => peer.session),
    rest.re,
  )
  return sent(result)
}

function sent({ id, recipients, mail, queued, gone, volatile, outbox }: SendResult): object {
  const away = new Set<string>(gone.map((peer) => peer.session))
  const there = recipients.filter((peer) => !away.has(peer.session)).map((peer) => peer.name)
  const posted = mail.filter(({ member }) => !away.has(member)).map(({ name }) => `${name}'s next session`)
  const names = [...there, ...posted].join(', ')
  const status = outbox
    ? `not stored yet: waits on this machine for the broker, at most 24 h, for ${names}`
    : volatile
      ? `sent to whoever is connected of ${there.length}: ${names}`
      : `stored for ${queued}: ${names} (stored is not yet read)`
  return { id, status, ...(gone.length === 0 ? {} : { gone: gone.map((peer) => peer.name) }) }
}

function statusOf({ id, delivered, outbox, recipients }: MessageStatus): object {
  return {
    id,
    delivered,
    ...(outbox === undefined ? {} : { outbox: inOutbox(outbox) }),
    recipients: recipients.map(({ name, mail, rung, at, reason, connected, proven, held }) => ({
      name: mail ? `${name}'s next session` : name,
      rung: proven === false ? `${rung} (the broker says so, no proof)` : rung,
      at: new Date(at).toISOString(),
      ...(reason === undefined ? {} : { reason }),
      ...(held ? { held: 'do-not-disturb, a budget or a hook of its user keeps it from the model for now' } : {}),
      connected,
    })),
  }
}

function inOutbox({ keptAt, sentAt, failed }: KeptMessage): string {
  if (failed !== undefined) return `never left this machine: ${failed}`
  if (sentAt !== undefined) return `waited on this machine until ${new Date(sentAt).toISOString()}`
  return `waits on this machine since ${new Date(keptAt).toISOString()}, until the broker is back, at most 24 h`
}

function checkMessages(mesh: Mesh, { notices, news }: Turn): string {
  const frames: string[] = []
  let length = 0
  for (;;) {
    const [message] = mesh.inbox.peek(1)
    if (!message) break
    const framed = framePeerMessages([message], { maxText: longestText })
    if (frames.length > 0 && length + framed.length > longestAnswer) break
    mesh.surfaced([message])
    frames.push(framed)
    length += framed.length
  }
  const more = mesh.inbox.size > 0 ? [`[${mesh.inbox.size} more wait: call check_messages again]`] : []
  const changes = news?.drain().text
  const parts = [...frames, ...(notices?.drain().lines ?? []).map(visible), ...(changes === undefined ? [] : [changes]), ...more]
  return parts.length === 0 ? 'No messages wait.' : parts.join('\n\n')
}
