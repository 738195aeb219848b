import { once } from 'node:events'
import { Mesh, type Identity } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { fromB64u, memberKey, ready, sessionKey } from '@claudemesh/crypto'
import { serveMcp } from '@claudemesh/mcp'
import { systemClock } from '@claudemesh/protocol'

type Start = [{ url: string; identity: Omit<Identity, 'member'> & { seed: string } }]

const [{ url, identity }] = (await once(process, 'message')) as Start
await ready()
const mesh = await Mesh.connect({
  url,
  identity: { ...identity, member: memberKey(fromB64u(identity.seed)) },
  session: { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'alice' },
  name: 'Alice',
  clock: systemClock,
  dial: nodeDial,
  random: nodeRandom,
})
const server = await serveMcp({ mesh: Promise.resolve(mesh), input: process.stdin, output: process.stdout, version: '0', clock: systemClock })
process.send?.({ url })
await once(process, 'disconnect')
await server[Symbol.asyncDispose]()
await mesh.close()
process.exit(0)
