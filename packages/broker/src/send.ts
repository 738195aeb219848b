import { messageIdOf } from '@claudemesh/crypto'
import { limits, MeshError, toErrorFrame, type MemberPubkey, type MessageId, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { ackText } from './ack.ts'
import { codeOf } from './asked.ts'
import { acceptForward } from './forward.ts'
import type { Ready } from './kernel.ts'
import { holderFor, openMailboxes, type Mailbox } from './mail.ts'
import type { Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'
import { mailMark, originOf, pushHeadOf, tailOf } from './push.ts'
import { parseRecipients } from './recipients.ts'
import { relay } from './relay.ts'
import { repeatedAck } from './repeat.ts'
import { route, routeDirect, routesOf, type Routed } from './route.ts'
import type { ScannedSend, SendHeader } from './scan.ts'
import type { Entry } from './statements.ts'
import type { Span } from './tracing.ts'

/** Who sealed an envelope, and where that is not the session that sends it, what proves it to recipients. */
interface Sender {
  readonly key: SessionPubkey
  readonly proof: string
}

/** Mail for one member, with the session it goes to at once. */
interface Posted {
  readonly box: Mailbox
  readonly wrap: string
  readonly holder: Presence | undefined
}

interface Sorted extends Routed {
  readonly mail: readonly Posted[]
  readonly fullMail: readonly MemberPubkey[]
}

/** One envelope on its way: what was asked, under which id it goes, and who gets it. */
interface Passing {
  readonly header: SendHeader
  readonly body: string
  /** How its pushes begin. */
  readonly head: Buffer
  readonly targetSpec: string
  readonly id: MessageId
  readonly sender: Sender
  readonly createdAt: number
  readonly span: Span | undefined
}

type Mailboxes = ReadonlyMap<MemberPubkey, Mailbox>

/**
 * Takes one envelope: pushed to who is connected in this turn, stored with the next commit, and answered after it. Throws what is refused. For mail and for
 * forwarded envelopes the store is asked first: then a promise, until which the frames behind it wait.
 */
export function send(context: Ready, scanned: ScannedSend): Promise<void> | undefined {
  const { members, forward } = scanned.header
  if (members !== undefined || forward !== undefined) return sendPrepared(context, scanned)
  pass(context, scanned, { key: context.me.key, proof: '' }, noMailboxes)
  return undefined
}

const noMailboxes: Mailboxes = new Map()

async function sendPrepared(context: Ready, scanned: ScannedSend): Promise<void> {
  const { kernel, mesh, me } = context
  const { forward, members = 0, volatile, to, wraps } = scanned.header
  // The store is asked before the message is weighed.
  kernel.limiter.spend(context, kernel.clock.now(), 'requests')
  if (volatile === true) throw new MeshError('not_durable', 'a volatile message is neither mail nor forwarded')
  const sender = forward ? await acceptForward(context, forward) : { key: me.key, proof: '' }
  const { keys } = parseRecipients(sender.key, to, wraps)
  if (members > keys.length || (members > 0 && wraps === undefined)) throw new MeshError('bad_recipients', 'members is not the number of wraps for members')
  const boxes = await openMailboxes(kernel, mesh, keys.slice(keys.length - members) as RecipientPubkey[] as MemberPubkey[])
  pass(context, scanned, sender, boxes)
}

function pass(context: Ready, { header, core, tail, body }: ScannedSend, sender: Sender, boxes: Mailboxes): void {
  const { kernel, mesh } = context
  const stored = header.volatile !== true
  const id = messageIdOf(sender.key, header.id)
  const now = kernel.clock.now()
  kernel.load.admit(mesh.id, now, header.priority, !stored)
  const span = kernel.tracer?.begin('send', { mesh: mesh.id, message: id, session: sender.key, bytes: body.length })
  const head = headOf(context, core, id, sender, now)
  const passing = { header, body, head, targetSpec: JSON.stringify(header.targetSpec), id, sender, createdAt: now, span }
  const routed = sort(context, passing, boxes)
  const fanOut = routed.recipients.length + routed.mail.length
  kernel.limiter.spendMessage(context, now, Math.max(1, fanOut), body.length)
  kernel.meter.observe('fan_out', fanOut)
  if (kernel.tap) tap(context, passing)
  if (stored && kernel.recent.repeats(mesh.id, id)) {
    repeat(context, passing)
    return
  }
  push(passing, routed, tail)
  if (!stored) {
    relayTo(context, passing, routed)
    answer(context, passing, routed, 0)
  } else if (fanOut === 0 && routed.missing.length === 0) {
    kernel.recent.forget(id)
    answer(context, passing, routed, 0)
  } else store(context, passing, routed)
}

function sort({ mesh, me }: Ready, { header, body, sender }: Passing, boxes: Mailboxes): Sorted {
  const { to, wraps, targetSpec, members = 0 } = header
  const bytes = header.volatile === true ? undefined : body.length
  if (to === targetSpec && wraps === undefined) return direct(routeDirect(mesh, sender.key, to, bytes))
  const routes = routesOf(targetSpec)
  const named = parseRecipients(sender.key, to, wraps)
  const sessions = named.keys.length - members
  const routed = route(mesh, me, routes, { keys: named.keys.slice(0, sessions), wraps: named.wraps.slice(0, sessions) }, bytes)
  const sorted = { mail: [] as Posted[], fullMail: [] as MemberPubkey[], gone: [...routed.gone] }
  for (let i = sessions; i < named.keys.length; i++) {
    const key = named.keys[i] as RecipientPubkey as MemberPubkey
    const box = routes.has(key) ? boxes.get(key) : undefined
    if (!box) sorted.gone.push(named.keys[i] as SessionPubkey)
    else if (box.queued.count >= limits.queuedPerSession || box.queued.bytes + body.length > limits.queuedBytesPerSession) sorted.fullMail.push(key)
    else sorted.mail.push({ box, wrap: named.wraps[i] ?? '', holder: holderFor(mesh, key, me) })
  }
  return { ...routed, ...sorted }
}

const none: readonly never[] = []

const direct = ({ recipients, gone, full }: Routed): Sorted => ({ recipients, wraps: none, gone, full, missing: none, mail: none, fullMail: none })

const origins = new WeakMap<Presence, Buffer>()

/** How the pushes of this message begin. */
function headOf({ mesh, me }: Ready, core: Buffer, id: MessageId, { key, proof }: Sender, createdAt: number): Buffer {
  if (key !== me.key) return Buffer.concat([pushHeadOf(id, core, originOf(mesh.id, key), createdAt), Buffer.from(proof)])
  let origin = origins.get(me)
  if (!origin) origins.set(me, (origin = originOf(mesh.id, key)))
  return pushHeadOf(id, core, origin, createdAt)
}

function push({ header, id, head }: Passing, { recipients, wraps, mail }: Sorted, tail: Buffer): void {
  for (let i = 0; i < recipients.length; i++) {
    const feed = recipients[i]?.link?.feed
    if (!feed) continue
    if (header.volatile === true) feed.pushVolatile(head, wraps[i], tail)
    else feed.push(id, head, wraps[i], tail)
  }
  if (mail.length === 0) return
  const marked = Buffer.concat([head, Buffer.from(mailMark)])
  for (const { wrap, holder } of mail) holder?.link?.feed.push(id, marked, wrap, tail, true)
}

function relayTo(context: Ready, { id, head, header, body, span }: Passing, { recipients, wraps }: Routed): void {
  relay(context, recipients, wraps, () => ({ id, head: head.toString(), tail: tailOf(body), volatile: header.volatile === true, span }))
}

/** Mail that no session here shows may be for one on another node. */
function offerElsewhere(mesh: Mesh, { mail }: Sorted): void {
  for (const { box, holder } of mail) if (!holder) mesh.nodes.toMesh(mesh.id, { t: 'mail', member: box.key })
}

function store(context: Ready, passing: Passing, routed: Sorted): void {
  const { kernel, session, mesh, me } = context
  const { header, body, id } = passing
  const queues = [...routed.recipients, ...routed.mail.map(({ box }) => box)]
  for (const queue of queues) queue.enqueue(body.length)
  kernel.writer.add({
    meshId: mesh.id,
    id,
    clientId: header.id,
    sender: passing.sender.key,
    senderMember: me.memberId,
    targetSpec: passing.targetSpec,
    priority: header.priority,
    nonce: header.nonce,
    body,
    createdAt: passing.createdAt,
    recipients: routed.recipients.map((recipient) => recipient.key),
    wraps: routed.wraps,
    mail: routed.mail.map(({ box, wrap, holder }) => ({ member: box.key, wrap, holder: holder?.key })),
    full: fullOf(routed),
    span: passing.span,
    early: undefined,
    settled: (outcome) => {
      if (outcome === 'stored') {
        relayTo(context, passing, routed)
        offerElsewhere(mesh, routed)
        answer(context, passing, routed, queues.length)
        kernel.meter.observe('ack_seconds', (kernel.clock.now() - passing.createdAt) / 1000)
        return
      }
      for (const queue of queues) queue.unqueue(body.length)
      if (!(outcome instanceof Error)) {
        drop(id, routed, (recipient) => outcome.takenBack.has(recipient))
        repeat(context, passing)
      } else {
        passing.span?.end({ code: codeOf(outcome) })
        kernel.recent.forget(id)
        drop(id, routed, () => true)
        session.failSend(outcome, header)
      }
    },
  })
}

function fullOf({ full, fullMail }: Sorted): Entry['full'] {
  if (full.length + fullMail.length === 0) return none
  return [...full.map(({ key }) => ({ key, mail: false })), ...fullMail.map((key) => ({ key, mail: true }))]
}

/** To some who were pushed it the message never was. */
function drop(id: MessageId, { recipients, mail }: Sorted, whom: (recipient: RecipientPubkey) => boolean): void {
  for (const { key, link } of recipients) if (whom(key)) link?.feed.dropped(id)
  for (const { box, holder } of mail) if (whom(box.key)) holder?.link?.feed.dropped(id)
}

function answer({ session, mesh }: Ready, { header, id, sender, createdAt, span }: Passing, routed: Sorted, queued: number): void {
  span?.end({ recipients: routed.recipients.length + routed.mail.length })
  const failed = { messageId: id, rung: 'failed' as const, at: createdAt, reason: 'queue_full' }
  for (const { key } of routed.full) mesh.delivered(sender.key, { ...failed, sessionPubkey: key })
  for (const key of routed.fullMail) mesh.delivered(sender.key, { ...failed, sessionPubkey: key as RecipientPubkey as SessionPubkey, mail: true })
  const full = routed.full.length + routed.fullMail.length
  const alone = full === 1 && routed.recipients.length + routed.mail.length + routed.gone.length + routed.missing.length === 0
  if (alone) session.write(JSON.stringify(toErrorFrame(new MeshError('queue_full'), header.id)))
  else session.write(ackText(header.id, id, queued, header.volatile === true, routed.missing, routed.gone))
}

function repeat(context: Ready, { header, body, targetSpec, id, span }: Passing): void {
  span?.end()
  repeatedAck(context, id, { ...header, targetSpec, body }).then(
    (ack) => context.session.write(ack),
    (error: unknown) => context.session.failSend(error, header),
  )
}

function tap({ kernel }: Ready, { header, body, targetSpec, sender }: Passing): void {
  const { keys } = parseRecipients(sender.key, header.to, header.wraps)
  kernel.tap?.({
    senderPubkey: sender.key,
    recipients: keys,
    targetSpec,
    priority: header.priority,
    bytes: body.length,
    ciphertext: body.slice(0, 64),
  })
}
