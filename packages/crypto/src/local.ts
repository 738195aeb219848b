import type { MeshId } from '@claudemesh/protocol'
import { openAead, sealAead } from './aead.ts'
import { subkey, type MeshKey } from './mesh-keys.ts'
import type { Random } from './random.ts'
import { decodeText, encodeText } from './sodium.ts'

const context = (mesh: MeshId, epoch: number) => `cm1:memoryIndex\0${mesh}\0${epoch}`

/** Seals what a member keeps on its own disk of the mesh's memory, such as a search index, as `epoch nonce ciphertext`. */
export function sealLocal(o: { mesh: MeshId; epoch: number; key: MeshKey; text: string; random: Random }): string {
  const { n, c } = sealAead(subkey(o.key, 'memoryIndex'), context(o.mesh, o.epoch), encodeText(o.text), o.random)
  return `${o.epoch} ${n} ${c}`
}

/** What was sealed; `key` gives the mesh key of an epoch. Throws `cannot_open` for anything else. */
export async function openLocal(sealed: string, o: { mesh: MeshId; key: (epoch: number) => Promise<MeshKey> }): Promise<string> {
  const [epoch = '', n = '', c = ''] = sealed.split(' ')
  return decodeText(openAead(subkey(await o.key(Number(epoch)), 'memoryIndex'), context(o.mesh, Number(epoch)), { n, c }))
}
