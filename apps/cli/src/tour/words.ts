import { plainText, type Output } from '../output.ts'
import type { Leg } from './exchange.ts'

/** The opening lines. `ownBroker` is the address of a broker that ran before, which the tour leaves alone. */
export function summary(output: Output, url: string, mesh: string, ownBroker?: string): string[] {
  const stage = ownBroker === undefined ? `a broker on ${url}, the mesh ${output.style('bold', mesh)}` : 'a broker and a mesh made for this tour'
  return [
    `${output.style(['bold', 'cyan'], 'claudemesh')}  ${stage}, two peers: Alice and Bob (@frontend)`,
    ...(ownBroker === undefined ? [] : [output.style('yellow', `Your broker on ${ownBroker} already runs; its peers hear nothing of this.`)]),
    output.style('dim', 'Each message three times: as it is written, as the broker sees it, as it is read.'),
  ]
}

/** One leg in four lines. */
export function describeLeg(output: Output, leg: Leg, n: number): string[] {
  const { sender, broker, recipient } = leg
  const label = (text: string) => output.style('dim', text.padEnd(14))
  const target = JSON.parse(broker.targetSpec) as string | string[]
  const route = typeof target === 'string' && target.length === 43 ? `session ${short(target)}` : String(target)
  return [
    '',
    `${output.style('bold', `${n} ${leg.kind}`)}  ${sender.name} → ${sender.to}`,
    `  ${label(`${sender.name} writes`)}${output.style('green', sender.text)}`,
    `  ${label('broker sees')}${output.style('red', short(broker.ciphertext, 44))}  ${output.style('dim', `${broker.bytes} bytes on the wire, for ${route}`)}`,
    `  ${label(`${recipient.name} reads`)}${output.style('green', plainText(recipient.text))}  ${output.style('dim', `from ${recipient.from}, key ${recipient.fingerprint}${recipient.verified ? ', verified' : ''}`)}`,
  ]
}

const short = (text: string, length = 12) => (text.length > length ? `${text.slice(0, length)}…` : text)
