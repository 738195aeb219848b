import { MeshError, foldName, parseTarget, type Target } from '@claudemesh/protocol'
import { nearest } from './nearest.ts'
import type { Roster } from './roster.ts'
import type { Me, Member, Peer, Resolved } from './types.ts'

type PeerTarget = Extract<Target, { kind: 'peer' }>

interface Part {
  readonly peers: readonly Peer[]
  /** Nobody online answers to it: mail for this member. */
  readonly member?: Member
  readonly route: string
  readonly direct: boolean
  /** Whether a peer that appears later belongs to this target too. */
  readonly matches: (peer: Peer) => boolean
}

export interface Resolution extends Resolved {
  readonly peers: readonly Peer[]
  readonly matches: (peer: Peer) => boolean
}

/** Who is a member, and whether a name that only a member bears shall be mail for them. */
export interface Absent {
  readonly members: readonly Member[]
  readonly durable: boolean
}

/** The recipients of `to` among the verified peers, each once, the sender never. */
export function resolve(to: string | readonly string[], roster: Roster, me: Me, absent: Absent = { members: [], durable: false }): Resolution {
  const written = typeof to === 'string' ? [to] : to
  const parts = written.map((text) => resolveOne(text, roster, me, absent))
  const peers = new Map(parts.flatMap((part) => part.peers).map((peer) => [peer.session, peer]))
  // Who gets it as a peer needs no mail.
  const present = new Set([...peers.values()].map((peer) => peer.member.key))
  const members = new Map(parts.flatMap(({ member }) => (member && !present.has(member.key) ? member : [])).map((member) => [member.key, member]))
  if (peers.size + members.size === 0)
    throw new MeshError('no_recipients', `nobody but you answers to ${written.map((text) => JSON.stringify(text)).join(', ')}`)
  const routes = [...new Set(parts.map((part) => part.route))]
  return {
    peers: [...peers.values()],
    recipients: [...peers.keys()],
    members: [...members.values()],
    targetSpec: routes.length === 1 ? (routes[0] ?? '*') : routes,
    label: written.map((text) => text.trim()).join(', '),
    direct: parts.every((part) => part.direct),
    matches: (peer) => parts.some((part) => part.matches(peer)),
  }
}

function resolveOne(text: string, roster: Roster, me: Me, absent: Absent): Part {
  const target = parseTarget(text)
  if (absent.durable && target.kind !== 'peer')
    throw new MeshError('not_durable', `${text.trim()} cannot be mail for the absent: name the members, or leave durable out`)
  if (target.kind === 'everyone') return { peers: roster.peers(), route: '*', direct: false, matches: () => true }
  if (target.kind === 'group') return groupPart(target.group, roster, me)
  const found = withoutGhosts(findPeers(target, text.trim(), roster))
  if (found.length > 1) throw ambiguous(text.trim(), found)
  const [peer] = found
  if (peer) return { peers: [peer], route: peer.session, direct: true, matches: () => false }
  if (target.name === foldName(me.name) && target.keyPrefix === undefined && target.member === undefined)
    return { peers: [], route: me.session, direct: true, matches: () => false }
  const member = absentMember(target, text.trim(), absent, me)
  if (member && absent.durable) return { peers: [], member, route: member.key, direct: true, matches: () => false }
  throw unknown(
    text.trim(),
    roster.peers().map((p) => p.name),
    member,
  )
}

/** The one member that a target means: by its name, narrowed by a key prefix, as the member of a session that is gone, or by a key prefix alone. */
function absentMember(target: PeerTarget, text: string, absent: Absent, me: Me): Member | undefined {
  const { name, keyPrefix, member } = target
  const others = absent.members.filter(({ id }) => id !== me.memberId)
  const named = others.filter(({ folded }) => folded === (member ?? name))
  const narrowed = keyPrefix === undefined ? named : named.filter((one) => hasPrefix(one, keyPrefix))
  const found = narrowed.length > 0 || !/^[A-Za-z0-9_-]{4,43}$/.test(text) ? narrowed : others.filter((one) => hasPrefix(one, text))
  if (found.length > 1 && absent.durable) throw ambiguousMember(text, found)
  return found[0]
}

function groupPart(group: string, roster: Roster, me: Me): Part {
  const peers = roster.peers({ group })
  const known = peers.length > 0 || me.groups.some((g) => g.name === group)
  if (!known)
    throw unknown(
      `@${group}`,
      roster.peers().flatMap((peer) => peer.groups.map((g) => `@${g.name}`)),
    )
  return { peers, route: `@${group}`, direct: false, matches: (peer) => peer.groups.some((g) => g.name === group) }
}

function findPeers(target: PeerTarget, text: string, roster: Roster): Peer[] {
  const { name, keyPrefix, member } = target
  const named = roster.peers({ name })
  if (keyPrefix !== undefined) return named.filter((peer) => hasPrefix(peer, keyPrefix))
  if (member !== undefined) return named.filter((peer) => foldName(peer.member.name) === member)
  if (named.length > 0 || !/^[A-Za-z0-9_-]{4,43}$/.test(text)) return named
  return roster.peers().filter((peer) => hasPrefix(peer, text))
}

/** Of one member's sessions of one name, those that are connected: the others are most likely the same person before a crash. */
function withoutGhosts(found: Peer[]): Peer[] {
  const connected = found.filter((peer) => peer.connected)
  // Across members the broker's word on who is connected must not pick the reader.
  const sameMember = found.every((peer) => peer.member.id === found[0]?.member.id)
  return sameMember && connected.length > 0 ? connected : found
}

function hasPrefix(one: Peer | Member, prefix: string): boolean {
  return ('session' in one ? one.session : one.key).startsWith(prefix) || compact(one).startsWith(prefix.toLowerCase())
}

const compact = ({ fingerprint }: { readonly fingerprint: string }) => fingerprint.replaceAll(' ', '')

function ambiguousMember(text: string, members: readonly Member[]): MeshError {
  const choices = members.map((member) => `${member.name}/${compact(member)}`)
  return new MeshError('ambiguous_name', `${members.length} members answer to ${JSON.stringify(text)}: ${choices.join(', ')}. Write one of them so`)
}

function ambiguous(text: string, peers: readonly Peer[]): MeshError {
  const choices = peers.map((peer) => `${peer.name}/${compact(peer)} (member ${peer.member.name})`)
  return new MeshError(
    'ambiguous_name',
    `${peers.length} live peers answer to ${JSON.stringify(text)}: ${choices.join(', ')}. Write one of them as ${choices[0]?.split(' (')[0]}`,
  )
}

const shown = 8

function unknown(text: string, candidates: readonly string[], absent?: Member): MeshError {
  const near = nearest(foldName(text), candidates)
  const others = near.length > 0 ? `nearest: ${near.join(', ')}` : whoIsThere(candidates)
  const mail = absent ? `; durable: true (--durable) keeps it for the next session of member ${absent.name}` : ''
  return new MeshError('unknown_target', `no live peer or group answers to ${JSON.stringify(text)}; ${others}${mail}`)
}

function whoIsThere(names: readonly string[]): string {
  const distinct = [...new Set(names)]
  if (distinct.length === 0) return 'there is none right now'
  const more = distinct.length > shown ? ` and ${distinct.length - shown} more` : ''
  return `there are: ${distinct.slice(0, shown).join(', ')}${more}`
}
