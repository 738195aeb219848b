import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import type { Bus } from '@claudemesh/broker/ports'

/** The bus over a NATS server, `nats://[user:password@]host:port` or `tls://…`. It connects again by itself; what is published meanwhile is dropped. */
export async function natsBus(url: string): Promise<Bus> {
  const line = await open(url)
  let up = true
  const watchers: ((up: boolean) => void)[] = []
  const become = (next: boolean) => {
    if (next === up) return
    up = next
    for (const watcher of watchers) watcher(next)
  }
  const followed = follow(line, become)
  return {
    shared: true,
    publish: (subject, payload) => {
      if (up && !line.isClosed()) line.publish(subject, payload)
    },
    subscribe: async (subject, listener) => {
      const subscription = line.subscribe(subject, {
        callback: (error, message) => {
          if (!error) listener(message.string())
        },
      })
      // The answer to a ping shows that the server took it; while the line is down it goes with the next connection.
      if (up) await line.flush().catch(() => {})
      return () => subscription.unsubscribe()
    },
    watch: (watcher) => void watchers.push(watcher),
    [Symbol.asyncDispose]: async () => {
      watchers.length = 0
      if (up && !line.isClosed()) await line.flush().catch(() => {})
      await line.close()
      await followed
    },
  }
}

async function open(url: string): Promise<NatsConnection> {
  try {
    return await connect({
      ...settings(new URL(url)),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      pingInterval: 5_000,
      timeout: 5_000,
    })
  } catch (error) {
    throw new Error(`the bus at ${new URL(url).host} cannot be used: ${error instanceof Error ? error.message : String(error)}; check BUS_URL`, {
      cause: error,
    })
  }
}

function settings({ protocol, host, username, password }: URL): NodeConnectionOptions {
  const user =
    username === ''
      ? {}
      : password === ''
        ? { token: decodeURIComponent(username) }
        : { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
  return { servers: host, name: 'claudemesh', ...user, ...(protocol === 'tls:' ? { tls: {} } : {}) }
}

async function follow(line: NatsConnection, become: (up: boolean) => void): Promise<void> {
  for await (const { type } of line.status()) {
    if (type === 'disconnect' || type === 'staleConnection' || type === 'close') become(false)
    else if (type === 'reconnect') become(true)
  }
}
