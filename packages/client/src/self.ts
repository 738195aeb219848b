import { issuePresence, issueSession, signHello, toB64u, fingerprint, memberIdOf, type Random } from '@claudemesh/crypto'
import { parseGroup, parseLabel, parseName, limits, times, type SessionPubkey, type Status } from '@claudemesh/protocol'
import type { Challenge } from './connection.ts'
import { audienceOf } from './greeting.ts'
import type { ConnectOptions, GroupRole, Me } from './types.ts'

/** What a session says of itself in its signed presence. */
export interface Attributes {
  readonly name: string
  readonly role?: string
  readonly groups: readonly GroupRole[]
  readonly summary?: string
}

/** This session: its attributes, and the tokens that prove them. */
export class Self {
  readonly session: SessionPubkey
  readonly #o: ConnectOptions
  readonly #random: Random
  #attributes: Attributes
  #sequence: number
  status: Status = 'idle'

  /** Throws `bad_name` when name, role, a group or the summary break the rules. */
  constructor(options: ConnectOptions, random: Random) {
    this.#o = options
    this.#random = random
    this.session = options.session.key.publicKey
    this.#sequence = options.session.incarnation * 2 ** 32
    this.#attributes = checked({
      name: options.name,
      groups: options.groups ?? [],
      ...(options.role === undefined ? {} : { role: options.role }),
      ...(options.summary === undefined ? {} : { summary: options.summary }),
    })
  }

  get me(): Me {
    const { mesh, member } = this.#o.identity
    return {
      session: this.session,
      memberId: memberIdOf(mesh, member.publicKey),
      ...this.#attributes,
      status: this.status,
      fingerprint: fingerprint(this.session),
    }
  }

  /** The attributes with a change, checked but not yet adopted. Throws `bad_name`. */
  with(change: Partial<Attributes>): Attributes {
    return checked({ ...this.#attributes, ...change })
  }

  adopt(attributes: Attributes): void {
    this.#attributes = attributes
  }

  /** A presence token, newer than all before it. */
  presence(attributes: Attributes = this.#attributes): string {
    const { key } = this.#o.session
    return issuePresence({ mesh: this.#o.identity.mesh, session: key, seq: ++this.#sequence, ts: this.#o.clock.now(), ...attributes })
  }

  /** Certificates down to this session, the last one fresh. */
  chain(): string[] {
    const { identity, session, clock } = this.#o
    const { mesh, member, chain } = identity
    const now = clock.now()
    return [...chain, issueSession({ mesh, session: session.key, member, iat: now, exp: now + times.sessionLife })]
  }

  /** The hello for a challenge: a fresh session certificate, a fresh presence, both signatures. */
  hello({ nonce }: Challenge): Record<string, unknown> {
    const { identity, session, clock, url } = this.#o
    const { mesh, member } = identity
    const transcript = { aud: audienceOf(url), clientNonce: toB64u(this.#random(16)), timestamp: clock.now() }
    return {
      v: 1,
      meshId: mesh,
      memberId: memberIdOf(mesh, member.publicKey),
      pubkey: member.publicKey,
      sessionPubkey: this.session,
      sessionId: session.id,
      displayName: this.#attributes.name,
      groups: this.#attributes.groups,
      ...transcript,
      chain: this.chain(),
      presence: this.presence(),
      ...(this.#o.mailSeen ? { mail: true } : {}),
      inOrder: true,
      ...signHello({ mesh, member, session: session.key, nonce, ...transcript }),
    }
  }
}

function checked({ name, role, groups, summary }: Attributes): Attributes {
  const byName = new Map(groups.map((group) => [parseGroup(group.name), group.role]))
  return {
    name: parseName(name),
    ...(role === undefined || role === '' ? {} : { role: parseLabel(role, 'role', limits.roleChars) }),
    groups: [...byName].map(([group, role]) => ({
      name: group,
      ...(role === undefined || role === '' ? {} : { role: parseLabel(role, 'group role', limits.roleChars) }),
    })),
    ...(summary === undefined || summary === '' ? {} : { summary: parseLabel(summary, 'summary', limits.summaryChars) }),
  }
}
