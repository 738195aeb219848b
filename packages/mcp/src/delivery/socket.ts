import { connect } from 'node:net'

/** One user turn for a session of Claude Code. */
export interface Turn {
  readonly text: string
  /** The bucket that Claude Code's limits count in. */
  readonly from: string
  readonly priority: 'next' | 'later'
}

/** Hands a turn to the session; rejects when it did not take it. */
export type Post = (turn: Turn) => Promise<void>

const patience = 5000

/** Posts to the inbox socket of a Claude Code session: one connection, one line of JSON per turn. The other end does not answer. */
export function inboxSocket({ path, token }: { path: string; token?: string }): Post {
  return (turn) =>
    new Promise((resolve, reject) => {
      const auth = token === undefined ? '' : `${JSON.stringify({ type: 'auth', token })}\n`
      const { text, from, priority } = turn
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
