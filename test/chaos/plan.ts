import type { Dice } from './dice.ts'

/** What goes wrong, and for how many milliseconds. */
export type Fault =
  | { readonly kind: 'kill' | 'drain'; readonly node: number; readonly lasts: number }
  | { readonly kind: 'postgres'; readonly how: 'fast' | 'immediate'; readonly lasts: number }
  | { readonly kind: 'nats'; readonly lasts: number }
  | { readonly kind: 'cut' | 'respawn'; readonly client: number; readonly lasts: 0 }
  | { readonly kind: 'refuse' | 'freeze' | 'throttle'; readonly client: number; readonly lasts: number }

export interface Step {
  /** It comes when so many more messages were acknowledged. */
  readonly after: number
  readonly fault: Fault
}

export interface Terrain {
  readonly nodes: number
  readonly clients: number
  readonly postgres: boolean
}

/** What a fault is about: while one lasts, the next one of the same place waits. */
export function placeOf(fault: Fault): string {
  if ('node' in fault) return `node ${fault.node}`
  return 'client' in fault ? `client ${fault.client}` : fault.kind
}

/** The faults of a run, without end, as the dice decide. */
export function* plan(dice: Dice, { nodes, clients, postgres }: Terrain): Generator<Step> {
  const kinds: [Fault['kind'], ...Fault['kind'][]] = ['kill', 'kill', 'drain', 'cut', 'cut', 'refuse', 'freeze', 'throttle', 'respawn']
  if (postgres) kinds.push('postgres', 'postgres')
  if (nodes > 1) kinds.push('nats', 'nats')
  for (;;) yield { after: dice.between(40, 240), fault: throwOne(dice, dice.pick(kinds), nodes, clients) }
}

function throwOne(dice: Dice, kind: Fault['kind'], nodes: number, clients: number): Fault {
  const lasts = dice.between(0, 1500)
  if (kind === 'kill' || kind === 'drain') return { kind, node: dice.between(0, nodes - 1), lasts }
  if (kind === 'postgres') return { kind, how: dice.pick(['fast', 'immediate']), lasts }
  if (kind === 'nats') return { kind, lasts }
  const client = dice.between(0, clients - 1)
  return kind === 'cut' || kind === 'respawn' ? { kind, client, lasts: 0 } : { kind, client, lasts: lasts * 2 }
}
