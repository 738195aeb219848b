import { isUtf8 } from 'node:buffer'
import { closeCodes, MeshError, parseClientFrame, parseJson, requests, type Json } from '@claudemesh/protocol'
import { codeOf } from './asked.ts'
import { greetingTable, readyTable } from './features.ts'
import { tooManyGreetings } from './greeting-limits.ts'
import type { Intake } from './intake.ts'
import type { Kernel, Ready } from './kernel.ts'
import { refuseTooMany, scanSend, wholeSend } from './scan.ts'
import { send } from './send.ts'
import type { Session } from './session.ts'
import { shed } from './shed.ts'
import { kindOf, unitsOf } from './units.ts'

/** What one connection asks and tells: each frame is handled, answered through its session, and no failure of one leaves it. */
export class Dialogue {
  readonly #kernel: Kernel
  readonly #session: Session
  readonly #intake: Intake
  readonly #address: string

  constructor(kernel: Kernel, session: Session, intake: Intake, address: string) {
    this.#kernel = kernel
    this.#session = session
    this.#intake = intake
    this.#address = address
  }

  handle(data: Buffer): void {
    const { ready } = this.#session
    try {
      const refusal = ready && shed(ready, this.#session.order, data)
      const scanned = ready && refusal === undefined ? scanSend(data) : undefined
      if (refusal !== undefined) this.#session.write(refusal)
      else if (scanned) this.#send(ready as Ready, scanned)
      else this.#dispatch(data)
    } catch (error) {
      this.#session.fail(error, idOf(data))
    }
  }

  /** What the peer said while an earlier frame was under way, and before it closed: its receipts and its goodbye still count. */
  lastWord(data: Buffer): void {
    try {
      const json = parseJson(data.toString())
      if (this.#session.ready && requests.get(json.type)?.kind === 'notice') void this.#answer(json)
    } catch (error) {
      this.#kernel.log('info', 'last_word_ignored', { code: error instanceof MeshError ? error.code : 'internal' })
    }
  }

  #send(context: Ready, scanned: NonNullable<ReturnType<typeof scanSend>>): void {
    const { header } = scanned
    const { writer, clock } = context.kernel
    const session = this.#session
    const before = header.volatile === true ? undefined : session.order?.before(header.id, clock)
    if (before) {
      session.fail(new MeshError(before.code, before.message, before), header.id)
      return
    }
    try {
      const later = send(context, scanned)
      if (later) {
        this.#intake.holdFor(later.catch((error: unknown) => session.failSend(error, header)))
        return
      }
    } catch (error) {
      session.failSend(error, header)
      return
    }
    if (writer.full && !this.#intake.busy) writer.whenReady(this.#intake.pause())
  }

  #dispatch(data: Buffer): void {
    if (!isUtf8(data)) throw new MeshError('bad_frame', 'the frame is not UTF-8')
    const json = parseJson(data.toString())
    const context = this.#session.ready
    refuseTooMany(json)
    if (context && json.type === 'send') {
      // The frame is checked whole, so that a missing id is named as in any request.
      parseClientFrame(json)
      this.#send(context, wholeSend(json))
      return
    }
    const answered = this.#answer(json)
    if (answered) this.#intake.holdFor(answered)
  }

  /** Handles one frame of the contract; a promise when the next frame has to wait. */
  #answer(json: Json): Promise<void> | undefined {
    const { member, id, input } = parseClientFrame(json)
    const { nonce, ready } = this.#session
    const needed = member.kind === 'request' ? member.phase : 'ready'
    if (needed === 'greeting') {
      if (nonce === undefined) throw new MeshError('already_ready')
      const refused = tooManyGreetings(this.#kernel, this.#address)
      if (refused) {
        this.#session.refuse(refused, closeCodes.tryLater, id)
        return undefined
      }
      const handler = greetingTable.get(member)
      const context = { kernel: this.#kernel, session: this.#session, nonce }
      return this.#settle(async () => handler?.(context, input as never), member, id, true)
    }
    if (!ready) throw new MeshError('not_ready')
    if (member.kind === 'notice') this.#slow(ready, unitsOf(input as object))
    else this.#kernel.limiter.spend(ready, this.#kernel.clock.now(), kindOf(member))
    const result = readyTable.get(member)?.(ready, input as never)
    if (result instanceof Promise) return this.#settle(() => result, member, id, false)
    if (member.kind === 'request') this.#reply(member.reply, id, result)
    return undefined
  }

  async #settle(
    work: () => Promise<unknown>,
    member: { readonly type: string; readonly reply?: string },
    id: string | undefined,
    final: boolean,
  ): Promise<void> {
    const session = this.#session
    const { clock, meter, limiter, tracer } = this.#kernel
    const began = clock.now()
    const span = tracer?.begin(member.type)
    try {
      const output = await work()
      const { presence } = session
      span?.end(presence && { mesh: presence.mesh, session: presence.key })
      meter.observe('request_seconds', (clock.now() - began) / 1000)
      if (final) meter.count('greetings', member.reply ?? '')
      if (member.reply !== undefined) this.#reply(member.reply, id, output)
      if (final) session.ready?.me.link?.feed.catchUp()
    } catch (error) {
      span?.end({ code: codeOf(error) })
      if (final) limiter.refused(this.#address)
      // Who fails to prove itself gets no second try on the same nonce.
      if (final && error instanceof MeshError) session.refuse(error, error.code === 'revoked' ? closeCodes.revoked : closeCodes.unauthorized, id)
      else session.fail(error, id)
    }
  }

  /** A notice gets no answer that could refuse it, so whoever sends too many is read more slowly. */
  #slow(context: Ready, units: number): void {
    const wait = this.#kernel.limiter.slow(context, this.#kernel.clock.now(), 'receipts', units)
    if (wait > 0 && !this.#intake.busy) this.#kernel.clock.after(wait, this.#intake.pause())
  }

  #reply(type: string, id: string | undefined, output: unknown): void {
    this.#session.write(JSON.stringify({ type, id, ...(output as object) }))
  }
}

function idOf(data: Buffer): string | undefined {
  try {
    const { id } = parseJson(data.toString())
    return typeof id === 'string' && id.length > 0 && id.length <= 64 ? id : undefined
  } catch {
    return undefined
  }
}
