import { endWithParent } from '../harness/leash.ts'
import { Service } from './service.ts'

// Holds what a run of chaos or soak holds, until it is killed; tells where all of it listens.
endWithParent()
const [nodes = '', folder = ''] = process.argv.slice(2)
const { postgres, nats, slots } = await Service.start({ nodes: Number(nodes), store: 'postgres', folder })
process.send?.([...[postgres, nats].flatMap((server) => (server ? Number(new URL(server.url).port) : [])), ...slots.map(({ port }) => port)])
