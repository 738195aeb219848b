import { verifyRecord } from '@claudemesh/crypto'
import { MeshError, parseMemory, parseTags, type contract, type Input, type Output } from '@claudemesh/protocol'
import { verifyIn } from '../chains.ts'
import { memoryChange } from '../changes.ts'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { forgetMemory, headOfMemories, pageOfMemories, putMemory, type Kept, type Memory } from '../memory-rows.ts'
import { searchMemories } from '../memory-search.ts'
import { TokenTable } from '../token-table.ts'
import { keepWriter } from '../writers.ts'

type Contract = typeof contract.memory

/** The broker keeps memories in their order; it reads and searches them only where the signed policy says plain. */
export const memory: Handlers<Contract, Ready> = {
  remember: async (context, input) => {
    const { kernel, mesh, me } = context
    const kept = keep(context, input)
    const writerHash = await keepWriter(context)
    const seq = await putMemory(kernel.db, mesh.id, {
      id: input.memoryId,
      kept,
      writerHash,
      memberId: me.memberId,
      memberName: me.memberName,
      at: kernel.clock.now(),
    })
    tell(context, seq)
    return { memoryId: input.memoryId }
  },

  recall: async ({ kernel, mesh }, input) => {
    requireForm(mesh, 'plain', 'its clients search, over sync_memories')
    return tableOf(await searchMemories(kernel.db, mesh.id, input))
  },

  forget: async (context, { memoryId, record }) => {
    const { kernel, mesh } = context
    const form = mesh.policy.body.allow.memory
    if ((form === 'sealed') !== (record !== undefined))
      throw new MeshError('wrong_form', `the memory of this mesh is ${form}: forgetting takes ${form === 'sealed' ? 'a sealed record' : 'the id alone'}`)
    const writerHash = await keepWriter(context)
    tell(context, await forgetMemory(kernel.db, mesh.id, memoryId, { record, writerHash, at: kernel.clock.now() }))
    return {}
  },

  sync: async ({ kernel, mesh }, { after }) => {
    requireForm(mesh, 'sealed', 'the broker searches, with recall')
    const { page, more } = await pageOfMemories(kernel.db, mesh.id, after)
    return { ...tableOf(page), more, head: await headOfMemories(kernel.db, mesh.id) }
  },
}

function requireForm({ policy }: Ready['mesh'], form: 'sealed' | 'plain', otherwise: string): void {
  if (policy.body.allow.memory !== form) throw new MeshError('wrong_form', `the memory of this mesh is ${policy.body.allow.memory}: ${otherwise}`)
}

/** What of a frame is to be kept; a plain memory is checked, for it is what everybody will find. */
function keep({ kernel, mesh, me }: Ready, { memoryId, record, token }: Input<Contract['remember']>): Kept {
  const form = mesh.policy.body.allow.memory
  if (form === 'sealed' && record && token === undefined) return { record }
  if (form === 'sealed' || token === undefined || record)
    throw new MeshError('wrong_form', `the memory of this mesh is ${form}: it takes ${form === 'sealed' ? 'a record' : 'a token'}, and nothing else`)
  const { id, content, tags, forgotten } = verifyRecord(token, 'memory', { mesh: mesh.id, chain: verifyIn(kernel, mesh, 'session', me.chain) })
  if (id !== memoryId || forgotten) throw new MeshError('bad_record', 'the token is not that of this memory')
  if (parseMemory(content) !== content || parseTags(tags).join() !== tags.join()) throw new MeshError('bad_memory', 'text and tags must be in their one form')
  return { token, content, tags }
}

function tell({ mesh, me }: Ready, seq: number | undefined): void {
  if (seq !== undefined) mesh.announce({ ...memoryChange(seq), except: me })
}

function tableOf(memories: readonly Memory[]): Pick<Output<Contract['recall']>, 'memories' | 'tokens'> {
  const table = new TokenTable()
  const listed = memories.map(({ id, seq, record, token, chain }) => ({
    memoryId: id,
    seq,
    ...(record ? { record } : { token }),
    chain: chain.map((certificate) => table.place(certificate)),
  }))
  return { memories: listed, tokens: table.tokens }
}
