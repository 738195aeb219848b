import type { Ready } from './kernel.ts'

/** Where a connection stands. */
export type Phase =
  | { readonly name: 'greeting'; readonly nonce: string; readonly cancelDeadline: () => void }
  | { readonly name: 'ready'; readonly context: Ready }
  | { readonly name: 'draining' }
  | { readonly name: 'closed'; readonly reason: string }

/** What each phase may become. */
export const moves: Record<Phase['name'], readonly Phase['name'][]> = {
  greeting: ['ready', 'draining', 'closed'],
  ready: ['draining', 'closed'],
  draining: ['closed'],
  closed: [],
}
