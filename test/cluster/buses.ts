import type { Bus } from '@claudemesh/broker'
import { openBus } from '@claudemesh/drivers'
import { NatsServer, natsThere } from '../harness/nats.ts'

/** A bus that brokers meet on: each opens its own end. */
export interface Meeting extends AsyncDisposable {
  open(): Promise<Bus>
}

async function localMeeting(): Promise<Meeting> {
  const bus = await openBus('local:')
  return { open: async () => ({ ...bus, shared: true, [Symbol.asyncDispose]: async () => {} }), [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() }
}

async function natsMeeting(): Promise<Meeting> {
  const server = await NatsServer.start()
  return { open: () => openBus(server.url), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** The buses on which the tests of several brokers run; NATS wherever there is a server. */
export const buses: readonly (readonly [string, () => Promise<Meeting>])[] = [['local', localMeeting], ...(natsThere ? [['NATS', natsMeeting] as const] : [])]
