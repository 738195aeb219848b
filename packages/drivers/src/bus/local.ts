import type { Bus } from '@claudemesh/broker/ports'

/** A bus within one process: publishing calls the listeners before it returns. It is `shared` where several brokers run in this process. */
export function localBus({ shared = false } = {}): Bus {
  const listeners = new Map<string, Set<(payload: string) => void>>()
  return {
    shared,
    publish: (subject, payload) => {
      for (const listener of listeners.get(subject) ?? []) listener(payload)
    },
    subscribe: async (subject, listener) => {
      const set = listeners.get(subject) ?? new Set()
      listeners.set(subject, set.add(listener))
      return () => {
        set.delete(listener)
        if (set.size === 0) listeners.delete(subject)
      }
    },
    [Symbol.asyncDispose]: async () => listeners.clear(),
  }
}
