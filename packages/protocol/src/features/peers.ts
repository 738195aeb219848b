import { z } from 'zod'
import { event, request, tool } from '../define.ts'
import { peer, status, token } from '../fields.ts'
import { sessionPubkey } from '../ids.ts'
import { limits } from '../limits.ts'

export const peers = {
  list: request('list_peers', {
    doc: 'The live sessions of this mesh, in pages. Tokens that several peers share are listed once.',
    input: { cursor: z.string().max(64).optional() },
    reply: 'peers_list',
    output: { peers: z.array(peer), tokens: z.array(token), next: z.string().optional() },
  }),
  setSummary: request('set_summary', {
    doc: 'Says what this session is working on. The presence token carries the same text, signed.',
    input: { summary: z.string().max(limits.summaryChars), presence: token },
  }),
  setStatus: request('set_status', {
    doc: 'Sets this session’s status. The broker relays it; it is not signed.',
    input: { status },
  }),
  updated: event('peer_update', {
    doc: 'A peer came, or changed its presence or status. Tokens as in peers_list.',
    body: { peer, tokens: z.array(token) },
  }),
  gone: event('peer_gone', {
    doc: 'A peer left: `left` said goodbye, `stale` missed three pings, `revoked` was removed by the policy.',
    body: { sessionPubkey, reason: z.enum(['left', 'stale', 'revoked']) },
  }),
}

export const peerTools = {
  list: tool('list_peers', {
    doc: 'List the live peers of this mesh: name, key, role, groups with roles, status and summary. Optionally only those of one group.',
    input: { group: z.string().optional().describe('A group name, with or without @') },
  }),
  setSummary: tool('set_summary', {
    doc: 'Set the 1-2 sentence description of your current work that peers see in list_peers.',
    input: { summary: z.string().max(limits.summaryChars).describe('1-2 sentences') },
  }),
  setStatus: tool('set_status', {
    doc: 'Override your status: idle, working or dnd (do not disturb: only priority "now" reaches you).',
    input: { status: z.enum(['idle', 'working', 'dnd']) },
  }),
}
