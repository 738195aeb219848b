export { createBroker, type Broker, type BrokerOptions } from './broker.ts'
export type { Tapped } from './kernel.ts'
export type { GreetingCaps } from './listen.ts'
export type { Blob, BlobKey, Bus, Database, Store } from './ports.ts'
