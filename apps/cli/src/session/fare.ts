import type { SessionVitals } from './vitals.ts'
import { age } from './why-silent.ts'

const names = { socket: 'inbox', channel: 'channel', rewake: 'wake hook' } as const

/** One line on a live session: its name, by which way messages come, when a hook last fired, what waits. */
export function sessionRow(session: SessionVitals, now: number): string[] {
  return [session.name ?? '(joining)', wayOf(session), hookOf(session, now), session.waiting === 0 ? '' : `${session.waiting} waiting`]
}

/** By which way messages come, as far as that was tried, and which was tried in vain. */
export function wayOf({ paths }: SessionVitals): string {
  const works = paths.find(({ state }) => state === 'works')
  const inVain = paths.filter(({ state }) => state === 'fails').map(({ path }) => names[path])
  const way = works ? `by ${names[works.path]}` : inVain.length === paths.length ? 'by hooks and check_messages alone' : 'nothing came yet'
  return inVain.length === 0 ? way : `${way} (${inVain.join(', ')} in vain)`
}

/** When a hook last fired. */
export function hookOf({ hook }: SessionVitals, now: number): string {
  return hook ? `hook ${hook.event} ${age(now - hook.at)} ago` : 'no hook fired yet'
}
