import { backHash, openBack, openKeybox, sealKeybox, verifyChain, type Back, type Epoch, type Keybox, type MeshKey } from '@claudemesh/crypto'
import { MeshError, contract, times, type Body, type InvitePubkey, type MemberPubkey } from '@claudemesh/protocol'
import { isAdmin } from '../invites.ts'
import type { Kernel } from '../kernel.ts'

/** The key of one epoch. It is wiped when the session closes: keep no copy. */
export interface EpochKey {
  readonly epoch: number
  readonly key: MeshKey
}

/** A box of the key in force, as requests carry it. */
interface Deposit {
  readonly mk: string
  readonly n: string
  readonly c: string
}

const attempts = 5

/** The mesh's keys, by epoch: fetched when first needed, kept in memory alone, wiped at the end. */
export class MeshKeys {
  readonly #kernel: Kernel
  readonly #keys = new Map<number, MeshKey>()
  /** Ways back that the newest policy vouches for. */
  readonly #backs = new Map<number, Back>()
  readonly #obtaining = new Map<string, Promise<MeshKey | undefined>>()
  readonly #listeners = new Set<(box: Keybox) => void>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    kernel.takes.put(contract.keys.wanted, (body) => void this.#handOver(body).catch((error: unknown) => this.#logged('key_not_handed_over', error)))
    kernel.takes.put(contract.keys.given, ({ keybox }) => this.#listeners.forEach((listen) => listen(keybox)))
  }

  /** The key in force. Begins the first epoch of an old mesh when this member is an admin. Throws `no_mesh_key` with the remedy. */
  async current(): Promise<EpochKey> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const epoch = await this.#epoch()
      const key = this.#keys.get(epoch.number) ?? (await this.#obtain(epoch))
      if (key && this.#kernel.policy.current?.epoch?.number === epoch.number) return { epoch: epoch.number, key }
    }
    throw new MeshError('no_mesh_key', 'the mesh key changes all the time; try again')
  }

  /** The key of an epoch that began, reached from the present one. Throws `no_mesh_key`, or `bad_keybox` for a history that the policy does not vouch for. */
  async of(number: number): Promise<MeshKey> {
    const known = this.#keys.get(number)
    if (known) return known
    let present = await this.current()
    if (number > present.epoch) {
      await this.#kernel.askPolicy()
      present = await this.current()
    }
    if (number > present.epoch || number < 1) throw new MeshError('no_mesh_key', `this mesh has no epoch ${number}`)
    return this.#walk(present, number)
  }

  /** The key of the first epoch, by which the rows of state keys are named. */
  first(): Promise<MeshKey> {
    return this.of(1)
  }

  /** The key in force, boxed for a reader; undefined when the mesh has none, or the broker has none for this member. */
  async boxFor(reader: MemberPubkey | InvitePubkey): Promise<Deposit | undefined> {
    const { epoch } = this.#kernel.policy.current ?? {}
    if (!epoch) return undefined
    const key = this.#keys.get(epoch.number) ?? (await this.#fromBroker(epoch))
    return key && { mk: epoch.mk, ...this.#seal(epoch.number, key, reader) }
  }

  /** Takes in a key that this session made. */
  adopt(epoch: number, key: MeshKey): void {
    this.#keys.set(epoch, key)
  }

  /** Wipes every key. */
  wipe(): void {
    for (const key of this.#keys.values()) key.fill(0)
    this.#keys.clear()
  }

  async #epoch(): Promise<Epoch> {
    const { policy, options } = this.#kernel
    if (policy.current?.epoch) return policy.current.epoch
    const { identity, clock } = options
    if (!isAdmin(identity, clock.now())) throw new MeshError('no_mesh_key', `${identity.slug} has no mesh key yet; ask an admin to run claudemesh rotate`)
    await this.#kernel.amend({ rotate: 'if-none' })
    if (!policy.current?.epoch) throw new MeshError('no_mesh_key')
    return policy.current.epoch
  }

  /** One at a time for each key, however many wait for it. */
  #obtain(epoch: Epoch): Promise<MeshKey | undefined> {
    const running = this.#obtaining.get(epoch.mk)
    if (running) return running
    const obtain = async () => (await this.#fromBroker(epoch)) ?? this.#fromMembers(epoch)
    const work = obtain().finally(() => this.#obtaining.delete(epoch.mk))
    this.#obtaining.set(epoch.mk, work)
    return work
  }

  async #fromBroker(epoch: Epoch): Promise<MeshKey | undefined> {
    const { boxes } = await this.#kernel.calls.keys.get({})
    for (const box of boxes) {
      const key = this.#open(box, epoch)
      if (key) return key
    }
    return undefined
  }

  /** Asks who is online. Undefined when the policy changes meanwhile. Throws `no_mesh_key`. */
  async #fromMembers(epoch: Epoch): Promise<MeshKey | undefined> {
    const { calls, options, events } = this.#kernel
    const offs: (() => void)[] = []
    const answer = new Promise<MeshKey | undefined>((resolve, reject) => {
      const listen = (box: Keybox) => {
        const key = this.#open(box, epoch)
        if (key) resolve(key)
      }
      this.#listeners.add(listen)
      offs.push(
        () => this.#listeners.delete(listen),
        events.on('policy', () => resolve(undefined)),
        events.on('connection', ({ phase }) => phase !== 'ready' && reject(new MeshError('unavailable'))),
        options.clock.after(times.keyAnswer, () => resolve(this.#unheard(epoch))),
      )
    })
    // Rejected while the request is still under way, it would count as unhandled.
    answer.catch(() => {})
    try {
      const { asked } = await calls.keys.ask({})
      if (asked === 0) throw nobodyAnswers(options.identity.slug)
      return await answer
    } finally {
      for (const off of offs) off()
    }
  }

  /** An answer that was lost on the way lies at the broker. */
  async #unheard(epoch: Epoch): Promise<MeshKey> {
    const key = await this.#fromBroker(epoch)
    if (!key) throw nobodyAnswers(this.#kernel.options.identity.slug)
    return key
  }

  #open(box: Keybox, epoch: Epoch): MeshKey | undefined {
    const { mesh, member } = this.#kernel.options.identity
    try {
      const key = openKeybox(box, { mesh, reader: member, commit: epoch.mk })
      this.#keys.set(epoch.number, key)
      if (box.by !== member.publicKey) void this.#keep(epoch, key)
      return key
    } catch (error) {
      this.#logged('keybox_refused', error)
      return undefined
    }
  }

  /** A box by oneself: what another made may be gone tomorrow. */
  async #keep(epoch: Epoch, key: MeshKey): Promise<void> {
    const reader = this.#kernel.options.identity.member.publicKey
    try {
      await this.#put(epoch, reader, this.#seal(epoch.number, key, reader))
    } catch (error) {
      this.#logged('keybox_not_kept', error)
    }
  }

  async #handOver({ memberPubkey, chain }: Body<typeof contract.keys.wanted>): Promise<void> {
    const { policy, options } = this.#kernel
    const { epoch, revoked } = policy.current ?? {}
    if (!epoch) return
    const { mesh, root } = options.identity
    const { member } = verifyChain(chain, { mesh, root, now: options.clock.now(), ends: 'member', revoked })
    if (member.key !== memberPubkey) throw new MeshError('bad_chain', 'the certificates are those of another member')
    const box = await this.boxFor(member.key)
    if (box?.mk === epoch.mk) await this.#put(epoch, member.key, box)
  }

  async #put({ number, mk }: Epoch, reader: MemberPubkey, { n, c }: { readonly n: string; readonly c: string }): Promise<void> {
    await this.#kernel.calls.keys.put({ epoch: number, mk, boxes: [{ reader, n, c }] })
  }

  #seal(epoch: number, key: MeshKey, reader: MemberPubkey | InvitePubkey): { n: string; c: string } {
    const { options, random } = this.#kernel
    const { n, c } = sealKeybox({ mesh: options.identity.mesh, epoch, key, reader, rotator: options.identity.member, random })
    return { n, c }
  }

  async #walk(from: EpochKey, to: number): Promise<MeshKey> {
    const { mesh } = this.#kernel.options.identity
    const newest = this.#kernel.policy.current?.epoch
    if (newest?.number !== from.epoch) return this.of(to)
    if (newest.back) this.#backs.set(from.epoch, newest.back)
    let { key } = from
    for (let epoch = from.epoch; epoch > to; epoch--) {
      const back = await this.#backOf(epoch)
      key = this.#keys.get(epoch - 1) ?? openBack(back, { mesh, epoch, key })
      this.#keys.set(epoch - 1, key)
    }
    return key
  }

  async #backOf(number: number): Promise<Back> {
    if (!this.#backs.has(number)) {
      const { backs } = await this.#kernel.calls.keys.backs({ before: number + 1 })
      for (const { epoch, back } of backs) {
        if (this.#backs.get(epoch + 1)?.h !== backHash(back))
          throw new MeshError('bad_keybox', 'the broker tells another history of the mesh key than the signed policy does')
        this.#backs.set(epoch, back)
      }
    }
    const found = this.#backs.get(number)
    if (!found) throw new MeshError('bad_keybox', `the broker does not tell how epoch ${number} leads back`)
    return found
  }

  #logged(event: string, error: unknown): void {
    this.#kernel.log('warn', event, { error: error instanceof MeshError ? error.code : 'internal' })
  }
}

const nobodyAnswers = (slug: string) =>
  new MeshError('no_mesh_key', `nobody who has the key of ${slug} is online; try again when another member is, or ask an admin to run claudemesh rotate`)
