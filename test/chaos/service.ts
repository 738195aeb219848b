import { join } from 'node:path'
import { Balancer } from '../harness/balancer.ts'
import { NatsServer } from '../harness/nats.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { Slot } from './slot.ts'

export interface ServiceOptions {
  readonly nodes: number
  readonly store: 'postgres' | 'pglite'
  /** Takes the logs, and the data of an embedded store. */
  readonly folder: string
  /** PostgreSQL waits for its disk. */
  readonly durable?: boolean
}

/** Brokers in processes of their own behind one address, with what they need. */
export class Service implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack
  readonly store: string
  readonly balancer: Balancer
  readonly slots: readonly Slot[]
  readonly postgres: PostgresServer | undefined
  readonly nats: NatsServer | undefined

  private constructor(stack: AsyncDisposableStack, parts: Pick<Service, 'store' | 'balancer' | 'slots' | 'postgres' | 'nats'>) {
    this.#stack = stack
    this.store = parts.store
    this.balancer = parts.balancer
    this.slots = parts.slots
    this.postgres = parts.postgres
    this.nats = parts.nats
  }

  static async start({ nodes, store, folder, durable = false }: ServiceOptions): Promise<Service> {
    await using stack = new AsyncDisposableStack()
    const balancer = stack.use(await Balancer.start())
    const postgres = store === 'postgres' ? stack.use(await startPostgres({ durable })) : undefined
    const nats = nodes > 1 ? stack.use(await NatsServer.start()) : undefined
    const url = postgres ? await postgresUrl(postgres.url) : `pglite:${join(folder, 'data')}`
    const balance = () => (balancer.ports = slots.flatMap(({ port }) => port ?? []))
    const args = [url, nats?.url ?? '', `ws://127.0.0.1:${balancer.port}`]
    const slots = Array.from({ length: nodes }, (_, i) => stack.use(new Slot(args, join(folder, `node-${i}.log`), balance)))
    for (const slot of slots) await slot.start()
    return new Service(stack.move(), { store: url, balancer, slots, postgres, nats })
  }

  get url(): string {
    return `ws://127.0.0.1:${this.balancer.port}/ws`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]()
  }
}
