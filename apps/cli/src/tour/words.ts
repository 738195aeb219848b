import type { MeshEntry } from '../home/config.ts'
import type { Running } from '../local/runfile.ts'
import { plainText, type Output } from '../output.ts'
import type { Leg } from './exchange.ts'

/** The opening lines. */
export function summary(output: Output, broker: Omit<Running, 'mark'>, entry: MeshEntry, wasRunning: boolean): string[] {
  const state = wasRunning ? 'your broker that already runs' : 'a broker'
  return [
    `${output.style(['bold', 'cyan'], 'claudemesh')}  ${state} on ${broker.url}, the mesh ${output.style('bold', entry.slug)}, two peers: Alice and Bob (@frontend)`,
    output.style('dim', 'Each message three times: as it is written, as the broker sees it, as it is read.'),
  ]
}

/** One leg in four lines. */
export function describeLeg(output: Output, leg: Leg, n: number): string[] {
  const { sender, broker, recipient } = leg
  const label = (text: string) => output.style('dim', text.padEnd(14))
  const route = typeof broker.targetSpec === 'string' && broker.targetSpec.length === 43 ? `session ${short(broker.targetSpec)}` : String(broker.targetSpec)
  const bytes = Math.floor((broker.ciphertext.length * 3) / 4)
  return [
    '',
    `${output.style('bold', `${n} ${leg.kind}`)}  ${sender.name} → ${sender.to}`,
    `  ${label(`${sender.name} writes`)}${output.style('green', sender.text)}`,
    `  ${label('broker sees')}${output.style('red', `${short(broker.ciphertext, 44)}`)}  ${output.style('dim', `${bytes} bytes for ${route}`)}`,
    `  ${label(`${recipient.name} reads`)}${output.style('green', plainText(recipient.text))}  ${output.style('dim', `from ${recipient.from}, key ${recipient.fingerprint}${recipient.verified ? ', verified' : ''}`)}`,
  ]
}

const short = (text: string, length = 12) => (text.length > length ? `${text.slice(0, length)}…` : text)
