import { performance } from 'node:perf_hooks'
import { systemClock } from '@claudemesh/protocol'
import { TestMesh } from '../../broker/kit.ts'
import { endWithParent } from '../../harness/leash.ts'
import type { Raw } from '../relay/raw.ts'
import { Ledger, type Seen } from './ledger.ts'
import { hearAnswers, join, numbered, surfaceAll, template, type Answer, type Line } from './line.ts'

/** What a load process is asked to do: first to come, then to send, again and again. */
export type Wish = { readonly do: 'come'; readonly port: number; readonly pairs: number } | ClosedLoop | OpenLoop

/** So many under way per sender, for the time after a second of warming up. */
export interface ClosedLoop {
  readonly do: 'closed'
  readonly depth: number
  readonly seconds: number
}

/** So many per second, whatever is answered, phase after phase. */
export interface OpenLoop {
  readonly do: 'open'
  readonly phases: readonly { readonly perSecond: number; readonly seconds: number }[]
}

interface Sender {
  readonly raw: Raw
  readonly frame: Buffer
}

/** What still has no answer so long after the last send counts as unanswered. */
const patience = 15_000

endWithParent()
const senders: Sender[] = []
let answered: (answer: Answer) => void = () => {}
process.on('message', (wish: Wish) => void fulfil(wish).then((result) => process.send?.(result)))

async function fulfil(wish: Wish): Promise<object> {
  if (wish.do === 'open') return open(wish)
  if (wish.do === 'closed') return closed(wish)
  const mesh = await new TestMesh(`ws://127.0.0.1:${wish.port}`, systemClock).create()
  const lines: Line[] = []
  for (let i = 0; i < 2 * wish.pairs; i++) lines.push(await join(wish.port, mesh, `Peer ${i}`))
  for (let i = 0; i < wish.pairs; i++) {
    const [from, to] = [lines[2 * i] as Line, lines[2 * i + 1] as Line]
    senders.push({ raw: from.raw, frame: template(from.peer, to.peer) })
    hearAnswers(from.raw, (answer) => answered(answer))
    surfaceAll(to.raw)
  }
  return {}
}

let sent = 0

/** Sends the next message; its number is its id. */
function send(): number {
  const { raw, frame } = senders[sent % senders.length] as Sender
  raw.send(numbered(frame, sent))
  return sent++
}

function closed({ depth, seconds }: ClosedLoop): Promise<{ perSecond: number }> {
  let acked = 0
  let running = true
  answered = ({ code }) => {
    if (code === undefined) acked++
    if (running) send()
  }
  for (let i = 0; i < depth * senders.length; i++) send()
  return new Promise((resolve) => {
    setTimeout(() => (acked = 0), 1000)
    setTimeout(
      () => {
        running = false
        resolve({ perSecond: acked / seconds })
      },
      1000 + seconds * 1000,
    )
  })
}

function open({ phases }: OpenLoop): Promise<{ phases: Seen[] }> {
  const first = sent
  const ledger = new Ledger(phases)
  answered = ({ n, code, retryAfter }) => n >= first && ledger.answered(n - first, performance.now(), code, retryAfter)
  return new Promise((resolve) => {
    ledger.begin(performance.now())
    const timer = setInterval(() => {
      const now = performance.now()
      for (let due = ledger.due(now); due > 0; due--) ledger.sent(send() - first, now)
      if (!ledger.over(now)) return
      clearInterval(timer)
      const end = () => resolve({ phases: ledger.seen() })
      const last = setTimeout(end, patience)
      ledger.whenAnswered(() => {
        clearTimeout(last)
        end()
      })
    }, 1)
  })
}
