import { connect } from 'node:net'
import type { WakePath } from './paths.ts'
import type { Turn } from './turn.ts'

/** Where the inbox of a session is, and the word that opens it where one is needed. */
export interface InboxPlace {
  readonly path: string
  readonly token?: string
}

const patience = 5000

/** The inbox socket of a Claude Code session: it wakes the session, and reaches it between two tool calls. `find` is asked until it answers. */
export function socketPath(find: () => InboxPlace | undefined): WakePath {
  let place: InboxPlace | undefined
  return {
    name: 'socket',
    open: () => (place ??= find()) !== undefined,
    post: (turn) => (place ? post(place, turn) : Promise.reject(new Error('the session has no inbox'))),
  }
}

/** One connection, one line of JSON per turn. The other end does not answer. */
function post({ path, token }: InboxPlace, { text, from, priority }: Turn): Promise<void> {
  return new Promise((resolve, reject) => {
    const auth = token === undefined ? '' : `${JSON.stringify({ type: 'auth', token })}\n`
    const line = JSON.stringify({ type: 'user', message: { role: 'user', content: text }, from, priority })
    const socket = connect(path)
    socket.setTimeout(patience, () => socket.destroy(new Error('the session inbox does not read')))
    socket.on('error', reject)
    socket.on('connect', () => {
      socket.end(`${auth}${line}\n`, () => resolve())
      // An end that is never answered must not keep the process.
      socket.unref()
    })
    socket.resume()
  })
}
