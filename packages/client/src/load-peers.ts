import type { Contract } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'
import type { Roster } from './roster.ts'

const mostPages = 100

/** Has the broker list the peers of the mesh, page by page, into the roster. */
export async function loadPeers(calls: Pick<Calls<Contract>, 'peers'>, roster: Roster): Promise<void> {
  let cursor: string | undefined
  for (let page = 0; page < mostPages; page++) {
    const { peers, tokens, next } = await calls.peers.list(cursor === undefined ? {} : { cursor })
    for (const peer of peers) roster.update(peer, tokens)
    cursor = next
    if (cursor === undefined) return
  }
}
