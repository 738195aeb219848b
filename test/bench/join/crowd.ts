// A mesh with many sessions, in a process of its own: tells how to become one more, and how many frames all of them have got.
import { once } from 'node:events'
import { seedOf, toB64u } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import { Peer, TestMesh } from '../../broker/kit.ts'
import { masked, Raw } from '../relay/raw.ts'

const members = 50
// Hellos under way at once.
const together = 16

const [{ url, size }] = (await once(process, 'message')) as [{ url: string; size: number }]
const mesh = await new TestMesh(url, systemClock).create()
const enrolled: Awaited<ReturnType<TestMesh['enrolled']>>[] = []
for (let i = 0; i < Math.min(members, size); i++) enrolled.push(await mesh.enrolled(`Member ${i}`))
const lines: Raw[] = []
while (lines.length < size) {
  const some = Array.from({ length: Math.min(together, size - lines.length) }, (_, i) => lines.length + i)
  lines.push(...(await Promise.all(some.map(join))))
}
await settled()
let frames = 0
for (const line of lines) line.onFrame = () => void frames++
process.on('message', () => void settled(() => void frames++).then(() => process.send?.({ frames })))
const { id, root, admin, adminCert } = mesh
process.send?.({ mesh: id, root: root.publicKey, seed: toB64u(seedOf(admin)), chain: [adminCert] })
await once(process, 'disconnect')
process.exit()

async function join(i: number): Promise<Raw> {
  const member = enrolled[i % enrolled.length]
  const peer = new Peer(mesh, { name: `Peer ${i}`, ...(member ? { member } : {}) })
  const line = await Raw.dial(Number(new URL(url).port))
  line.send(masked(JSON.stringify(peer.helloFrame((await line.next())['nonce'] as string))))
  await line.next(({ type }) => type === 'hello_ack')
  return line
}

/** Once all that the broker had to say until now has arrived. */
async function settled(other: () => void = () => {}): Promise<void> {
  for (const line of lines) line.send(masked('{"type":"get_policy","id":"settled"}'))
  const answered = (frame: Record<string, unknown>) => {
    if (frame['id'] === 'settled') return true
    other()
    return false
  }
  await Promise.all(lines.map((line) => line.next(answered)))
}
