import { MeshError, parseStateKey, stateJson, type contract, type Input } from '@claudemesh/protocol'
import { stateChange, stateEntry } from '../changes.ts'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { pageOfState, putState, readState, versionOf, type StateRow } from '../state-rows.ts'
import { TokenTable } from '../token-table.ts'
import { keepWriter, nameOfWriter } from '../writers.ts'

type State = typeof contract.state
type Write = Input<State['set']>

/** The broker keeps rows and their order; what they say is sealed, unless the signed policy asks for plain values. */
export const state: Handlers<State, Ready> = {
  set: (context, input) => write(context, input, false),
  delete: (context, input) => write(context, input, true),

  get: async (context, input) => {
    const { kernel, mesh } = context
    const id = idOf(context, input)
    const row = await readState(kernel.db, mesh.id, id)
    if (!row) return { version: await versionOf(kernel.db, mesh.id, id), tokens: [] }
    const table = new TokenTable()
    return { ...stateEntry(row, table), tokens: table.tokens }
  },

  list: async ({ kernel, mesh }, { cursor = '', since = 0 }) => {
    const { page, more } = await pageOfState(kernel.db, mesh.id, { form: mesh.policy.body.allow.state, after: cursor, since })
    const table = new TokenTable()
    const entries = page.map((row) => stateEntry(row, table))
    const last = page.at(-1)?.id
    return { entries, tokens: table.tokens, ...(more && last !== undefined ? { next: last } : {}) }
  },
}

async function write(context: Ready, input: Omit<Write, 'value'> & { value?: unknown }, deleted: boolean): Promise<{ version: number }> {
  const { kernel, mesh, me } = context
  const id = idOf(context, input)
  const sealed = mesh.policy.body.allow.state === 'sealed'
  if (sealed ? input.record === undefined || input.value !== undefined : input.record !== undefined || deleted !== (input.value === undefined))
    throw new MeshError(
      'wrong_form',
      `a write of the ${sealed ? 'sealed' : 'plain'} form carries ${sealed ? 'id and record' : 'key and value'}, and nothing else`,
    )
  const row: StateRow = {
    id,
    version: input.version,
    record: input.record,
    key: input.key,
    json: input.value === undefined ? undefined : stateJson(input.value, 'plain'),
    deleted,
    writerHash: await keepWriter(context),
    updatedByPresence: me.key,
    updatedByName: nameOfWriter(context),
    updatedAt: kernel.clock.now(),
  }
  const chain = me.chain
  await putState(kernel.db, mesh.id, row)
  mesh.announce({ ...stateChange({ ...row, chain }), except: me })
  return { version: row.version }
}

/** Under which id the row stands, in the form that the policy asks for. */
function idOf({ mesh }: Ready, { stateId: id, key }: { stateId?: string | undefined; key?: string | undefined }): string {
  const form = mesh.policy.body.allow.state
  if (form === 'sealed' ? id === undefined || key !== undefined : key === undefined || id !== undefined)
    throw new MeshError('wrong_form', `the state of this mesh is ${form}: a key is named by ${form === 'sealed' ? 'its id' : 'itself'}`)
  if (id !== undefined) return id
  if (key === undefined || parseStateKey(key) !== key) throw new MeshError('bad_key', 'the key is not in its one form, NFC')
  return `=${key}`
}
