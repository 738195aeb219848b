import { MeshError, type MemberId } from '@claudemesh/protocol'
import { Bucket } from './buckets.ts'
import { refusedGreeting, type Kind, type Rates, type Scope } from './rates.ts'
import type { Refusal } from './refusal.ts'

type Buckets = Partial<Record<Kind, Bucket>>
type Account = readonly (readonly [Scope, Buckets])[]

const named: Record<Kind, string> = {
  messages: 'messages',
  recipients: 'recipients',
  bytes: 'bytes',
  writes: 'writes',
  requests: 'requests',
  receipts: 'receipts',
}
const possessors: Record<Scope, string> = { session: 'this session', member: 'this member', mesh: 'this mesh' }

interface MeshAccount {
  readonly own: Buckets
  readonly members: Map<MemberId, Buckets>
}

/** The rates of one broker. Buckets come with the first use and go when they are full again, or with the mesh or session they are of. */
export class Limiter {
  readonly #rates: Rates | undefined
  readonly #meshes = new WeakMap<object, MeshAccount>()
  readonly #accounts = new WeakMap<object, Account>()
  readonly #addresses = new Map<string, Bucket>()

  /** Without rates nothing is refused. */
  constructor(rates: Rates | undefined) {
    this.#rates = rates
  }

  /** Takes the units of a request. Throws `rate_limited`. */
  spend(who: Spender, now: number, kind: Kind, units = 1): void {
    const rates = this.#rates
    if (!rates) return
    const account = this.#accountOf(who)
    check(account, rates, kind, units, now)
    take(account, kind, units)
  }

  /** Takes the units of a message, all or none. Throws `rate_limited`. */
  spendMessage(who: Spender, now: number, recipients: number, bytes: number): void {
    const rates = this.#rates
    if (!rates) return
    const account = this.#accountOf(who)
    check(account, rates, 'messages', 1, now)
    check(account, rates, 'recipients', recipients, now)
    check(account, rates, 'bytes', bytes, now)
    take(account, 'messages', 1)
    take(account, 'recipients', recipients)
    take(account, 'bytes', bytes)
  }

  /** Why not one more message may come from here, where that was found out just before; nothing is counted. */
  exhausted({ me }: Spender, now: number): Refusal | undefined {
    const account = this.#accounts.get(me)
    if (!account) return undefined
    for (const [scope, buckets] of account) {
      const wait = buckets.messages?.knownWait(now) ?? 0
      if (wait > 0) return refusal('messages', scope, wait)
    }
    return undefined
  }

  /** Takes the units of what cannot be refused; milliseconds by which whoever sent it has to be slowed down. */
  slow(who: Spender, now: number, kind: Kind, n: number): number {
    const rates = this.#rates
    if (!rates) return 0
    let wait = 0
    for (const [scope, buckets] of this.#accountOf(who)) {
      const bucket = (buckets[kind] ??= new Bucket(rates[scope][kind], now))
      bucket.take(n)
      wait = Math.max(wait, bucket.wait(0, now))
    }
    return wait
  }

  /** Somebody at an address greets, or asks for what is told before a greeting. Throws `rate_limited`. */
  greet(address: string, now: number): void {
    if (!this.#rates) return
    const bucket = this.#addresses.get(address) ?? new Bucket(this.#rates.address.greetings, now)
    this.#addresses.set(address, bucket)
    const wait = bucket.wait(1, now)
    if (wait > 0) throw new MeshError('rate_limited', later('too many greetings from this address', wait), { retryAfter: wait })
    bucket.take(1)
  }

  /** A greeting of this address was refused. */
  refused(address: string): void {
    this.#addresses.get(address)?.take(refusedGreeting - 1)
  }

  /** Forgets what is full again. */
  sweep(meshes: Iterable<object>, now: number): void {
    for (const [address, bucket] of this.#addresses) if (bucket.full(now)) this.#addresses.delete(address)
    for (const mesh of meshes) {
      const members = this.#meshes.get(mesh)?.members ?? []
      for (const [, buckets] of members) for (const kind of Object.keys(buckets) as Kind[]) if (buckets[kind]?.full(now)) delete buckets[kind]
    }
  }

  #accountOf({ mesh, me }: Spender): Account {
    const known = this.#accounts.get(me)
    if (known) return known
    const shared = this.#meshes.get(mesh) ?? { own: {}, members: new Map() }
    this.#meshes.set(mesh, shared)
    const member = shared.members.get(me.memberId) ?? {}
    shared.members.set(me.memberId, member)
    const account: Account = [
      ['session', {}],
      ['member', member],
      ['mesh', shared.own],
    ]
    this.#accounts.set(me, account)
    return account
  }
}

function check(account: Account, rates: Rates, kind: Kind, n: number, now: number): void {
  for (let i = 0; i < account.length; i++) {
    const [scope, buckets] = account[i] as Account[number]
    const wait = (buckets[kind] ??= new Bucket(rates[scope][kind], now)).wait(n, now)
    if (wait > 0) {
      const { code, message, retryAfter } = refusal(kind, scope, wait)
      throw new MeshError(code, message, { retryAfter })
    }
  }
}

function take(account: Account, kind: Kind, n: number): void {
  for (let i = 0; i < account.length; i++) account[i]?.[1][kind]?.take(n)
}

/** Authority over a bucket comes from the connection, as any other. */
export interface Spender {
  readonly mesh: object
  readonly me: { readonly memberId: MemberId }
}

const later = (what: string, retryAfter: number): string => `${what}: try again in ${Math.ceil(retryAfter / 1000)} s`

const refusal = (kind: Kind, scope: Scope, retryAfter: number): Refusal => ({
  code: 'rate_limited',
  message: later(`too many ${named[kind]} from ${possessors[scope]}`, retryAfter),
  retryAfter,
})
