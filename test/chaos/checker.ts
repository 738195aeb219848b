import type { ClientLog, Entry, Evidence, Numbered } from './log.ts'

type Did<D extends Entry['did']> = Entry & { readonly did: D }

/** What is wrong with a run, a sentence each, from what its clients noted and nothing else. */
export function violations({ logs, invite }: Evidence): string[] {
  return [...logs.flatMap((log) => [...surfacing(log, logs), ...delivery(log, logs), ...rungs(log, logs), ...states(log)]), ...keys(logs), ...joins(invite)]
}

const of = <D extends Entry['did']>({ entries }: ClientLog, ...dids: D[]): Did<D>[] =>
  entries.filter((entry): entry is Did<D> => dids.some((did) => did === entry.did))

const label = ({ from, n }: Numbered) => `${from} ${n}`

/** Who a message of this sender is for: a name, an @group, or everybody. */
export function audience(logs: readonly ClientLog[], from: string, to: string): string[] {
  const meant = ({ name, groups }: ClientLog) => to === '*' || to === name || (to.startsWith('@') && groups.includes(to.slice(1)))
  return logs.filter((log) => log.name !== from && meant(log)).map(({ name }) => name)
}

/** What the reader saw: each message once, in its sender's order, meant for it, and really sent. */
function surfacing(log: ClientLog, logs: readonly ClientLog[]): string[] {
  const found: string[] = []
  const seen = new Set<string>()
  const last = new Map<string, number>()
  for (const one of of(log, 'surfaced')) {
    const sender = logs.find(({ name }) => name === one.from)
    if (!sender || !of(sender, 'send').some(({ n, to }) => n === one.n && to === one.to)) found.push(`${log.name} saw ${label(one)}, which nobody sent so`)
    if (!audience(logs, one.from, one.to).includes(log.name)) found.push(`${log.name} saw ${label(one)}, which was for ${one.to}`)
    if (seen.has(label(one))) found.push(`${log.name} saw ${label(one)} twice`)
    else if ((last.get(one.from) ?? -1) > one.n) found.push(`${log.name} saw ${label(one)} after ${one.from} ${last.get(one.from) ?? ''}`)
    seen.add(label(one))
    last.set(one.from, Math.max(one.n, last.get(one.from) ?? -1))
  }
  return [...found, ...of(log, 'refused').map(({ code }) => `${log.name} refused a message: ${code}`)]
}

/** What was acknowledged: stored for the whole audience and nobody else, and seen by all of it. */
function delivery(log: ClientLog, logs: readonly ClientLog[]): string[] {
  const sent = new Map(of(log, 'send').map(({ n, to }) => [n, to]))
  const seen = new Map(logs.map((one) => [one.name, new Set(of(one, 'surfaced').map(label))]))
  return of(log, 'acked').flatMap(({ n, recipients }) => {
    const meant = audience(logs, log.name, sent.get(n) ?? '')
    return [
      ...recipients.filter((name) => !meant.includes(name)).map((name) => `${log.name} ${n} was stored for ${name}, whom it was not for`),
      ...meant.filter((name) => !recipients.includes(name)).map((name) => `${log.name} ${n} was not stored for ${name}`),
      ...meant.filter((name) => !seen.get(name)?.has(`${log.name} ${n}`)).map((name) => `${name} never saw ${log.name} ${n}, which was acknowledged`),
    ]
  })
}

/** What was claimed: no rung that the recipient's own log does not bear out, and in the end what it says. */
function rungs(log: ClientLog, logs: readonly ClientLog[]): string[] {
  const noted = (did: 'received' | 'surfaced') => new Map(logs.map((one) => [one.name, new Set(of(one, did).map(label))]))
  const borne = { received: noted('received'), surfaced: noted('surfaced') }
  return of(log, 'told').flatMap(({ n, of: name, rung, final }) => {
    const is = (did: 'received' | 'surfaced') => borne[did].get(name)?.has(`${log.name} ${n}`) === true
    if (rung === 'failed') return [`${log.name} ${n} is said to have failed at ${name}`]
    if ((rung === 'received' && !is('received')) || (rung === 'surfaced' && !is('surfaced')))
      return [`${log.name} ${n} is said to be ${rung} at ${name}, which it is not`]
    return final && rung !== 'surfaced' && is('surfaced') ? [`${log.name} ${n} was seen by ${name}, and is still said to be ${rung}`] : []
  })
}

/** Versions that one client is shown never go back; an answer may be as old as its question. */
function states({ name, entries }: ClientLog): string[] {
  const highest = (key: string, before: number) =>
    entries.slice(0, before).reduce((most, entry) => (entry.did === 'saw' && entry.key === key ? Math.max(most, entry.version) : most), 0)
  return entries.flatMap((entry, i) => {
    if (entry.did !== 'saw') return []
    const before = highest(entry.key, entry.asked ?? i)
    return entry.version < before ? [`${name} saw ${entry.key} go from version ${before} back to ${entry.version}`] : []
  })
}

/** One version of a key has one value for everybody, and no acknowledged write is missing at the end. */
function keys(logs: readonly ClientLog[]): string[] {
  const found: string[] = []
  const values = new Map<string, number>()
  const newest = new Map<string, number>()
  for (const { key, version, value } of logs.flatMap((log) => of(log, 'wrote', 'saw'))) {
    const known = values.get(`${key} ${version}`)
    if (known !== undefined && known !== value) found.push(`version ${version} of ${key} is ${known} and also ${value}`)
    values.set(`${key} ${version}`, value)
  }
  for (const { key, version } of logs.flatMap((log) => of(log, 'wrote'))) newest.set(key, Math.max(version, newest.get(key) ?? 0))
  for (const [key, version] of newest) {
    const ends = logs.flatMap((log) => of(log, 'saw')).filter((entry) => entry.key === key && entry.final)
    if (ends.length === 0) found.push(`nobody looked at ${key} in the end`)
    for (const end of ends) if (end.version < version) found.push(`${key} was written in version ${version}, and ends in ${end.version}`)
  }
  return found
}

function joins({ max, joined, used }: Evidence['invite']): string[] {
  return [
    ...(joined > max ? [`${joined} joined with an invite for ${max}`] : []),
    ...(used > max ? [`an invite for ${max} counts ${used} uses`] : []),
    ...(used < joined ? [`${joined} joined, and the invite counts ${used} uses`] : []),
  ]
}
