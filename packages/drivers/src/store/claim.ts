import postgres from 'postgres'
import type { Claim } from '@claudemesh/broker/ports'
import { postgresOptions } from './postgres-options.ts'

// Any number, as long as it is always the same.
const lock = 7_717_002

/** Holds an advisory lock on the database with a connection of its own, which is what ends with the process. */
export async function claim(url: string, how: 'alone' | 'shared', lost: () => void): Promise<Claim | undefined> {
  const state = { held: false, ended: false, checking: false }
  const name = `claudemesh claim ${crypto.randomUUID()}`
  const line = postgres(url, {
    ...postgresOptions(url),
    max: 1,
    idle_timeout: 0,
    max_lifetime: null,
    connection: { application_name: name },
    // The lock went with its connection: taken again as soon as the server answers.
    onclose: () => {
      if (!state.held || state.ended) return
      state.held = false
      void retake()
    },
  })
  const take = async (): Promise<boolean> => {
    // The server lets go of a claim whose machine vanished, within half a minute and not when the system thinks of it.
    await line`select set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false)`
    const [row] = await (how === 'alone'
      ? line<{ got: boolean }[]>`select pg_try_advisory_lock(${lock}) as got`
      : line<{ got: boolean }[]>`select pg_try_advisory_lock_shared(${lock}) as got`)
    return row?.got === true
  }
  // A connection that broke on this side alone holds the lock until the server notices.
  const endFormer = () => line`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = ${name} and pid <> pg_backend_pid()`
  const retake = async (): Promise<void> => {
    let taken: boolean | undefined
    // Each attempt on a server that does not answer waits longer than the last, in the client.
    while (taken === undefined && !state.ended) {
      taken = await endFormer()
        .then(take)
        .catch(() => undefined)
    }
    state.held = taken === true
    if (taken === false) lost()
  }
  try {
    state.held = await take()
  } finally {
    if (!state.held) await line.end({ timeout: 1 })
  }
  if (!state.held) return undefined
  return {
    check: async () => {
      if (state.checking || !state.held) return
      state.checking = true
      // Of what the server has let go of, a connection hears only when it speaks; then it closes.
      await line`select 1`.catch(() => {})
      state.checking = false
    },
    [Symbol.asyncDispose]: async () => {
      state.ended = true
      await line.end({ timeout: 1 })
    },
  }
}
