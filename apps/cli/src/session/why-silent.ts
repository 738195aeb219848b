import type { Peer } from '@claudemesh/client'

/** Why a peer may not answer, and what helps; nothing for one that is free. */
export function whySilent(peer: Peer | undefined, now: number): string | undefined {
  if (!peer) return 'gone: its session has ended or lost its broker for long; send to its next session'
  if (!peer.connected) return 'away: its connection is lost; messages wait for its return'
  const since = peer.since === undefined ? '' : ` for ${age(now - peer.since)}`
  if (peer.status === 'working') return `working${since}: it sees messages between its tool calls`
  if (peer.status === 'waiting') return `waiting${since}: a dialog is open; somebody must answer it at that terminal`
  if (peer.status === 'dnd') return `dnd${since}: only messages of priority now reach it`
  return undefined
}

/** `42 s`, `7 min`, `3 h`, `2 d`. */
export function age(ms: number): string {
  const steps = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const
  const [size, unit] = steps.find(([step]) => ms >= 2 * step) ?? [1000, 's']
  return `${Math.max(0, Math.floor(ms / size))} ${unit}`
}
