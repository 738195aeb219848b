import { z } from 'zod'
import { event, request, tool } from '../define.ts'
import { millis, sealedRecord, token } from '../fields.ts'
import { sessionPubkey, stateId as idOfKey } from '../ids.ts'
import { limits } from '../limits.ts'

const stateId = idOfKey.optional().describe('Sealed form: a keyed hash of the key’s name, the same in every epoch.')
const record = sealedRecord(limits.stateRecord).optional()
const key = z.string().min(1).max(limits.stateKeyChars).optional().describe('Plain form.')
const value = z.unknown().optional().describe('Plain form: any JSON.')
const version = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)

/** What a row says, whichever form the signed policy asks for. */
const row = {
  stateId,
  record,
  key,
  value,
  deleted: z.boolean().optional().describe('The key was deleted; the row stays for a while, so that its version goes on.'),
  writer: sessionPubkey,
  chain: z.array(z.int().nonnegative()).min(2).max(limits.chainTokens).describe('The writer’s certificates: indexes into the tokens of the same frame.'),
  updatedBy: z.string().describe('The writer’s name when it wrote. The broker’s word.'),
  updatedAt: millis.describe('The broker’s word; a sealed record bears its own time.'),
}
const tokens = z.array(token)

const stored = { version: version.describe('The version that this write made.') }

export const state = {
  set: request('set_state', {
    doc: 'Writes a key of the shared state. `version` is one above the version it replaces, or version_conflict tells the present one; 0 stands for a key that never was.',
    input: { version, stateId, record, key, value },
    output: stored,
  }),
  get: request('get_state', {
    doc: 'Reads a key. Without a row there is only `version`: what the next write has to exceed.',
    input: { stateId, key },
    reply: 'state_result',
    output: { version: z.int().nonnegative(), ...z.object(row).partial().shape, tokens },
  }),
  list: request('list_state', {
    doc: 'All keys, deleted ones among them, in pages.',
    input: {
      cursor: z
        .string()
        .max(limits.stateKeyChars + 1)
        .optional(),
      since: millis.optional().describe('Only what was written since then by the broker’s clock: for who was away.'),
    },
    reply: 'state_list',
    output: { entries: z.array(z.object({ version, ...row })), tokens, next: z.string().optional() },
  }),
  delete: request('delete_state', {
    doc: 'Deletes a key by a version of its own: sealed, so that nobody can claim a deletion that a member did not make.',
    input: { version, stateId, record, key },
    output: stored,
  }),
  changed: event('state_change', {
    doc: 'Somebody else wrote or deleted a key. Of several writes in one turn of the broker only the last is told.',
    body: { version, ...row, tokens },
  }),
}

const keyName = z.string().min(1).max(limits.stateKeyChars)

export const stateTools = {
  set: tool('set_state', {
    doc: 'Write a key of the state that all peers share: facts that change during work. Peers see the change at their next turn; it wakes nobody.',
    input: {
      key: keyName.describe('Such as deploy_frozen or vote:rename-repo:alice'),
      value: z.unknown().optional().describe('Any JSON up to 64 KiB'),
      if_version: z.int().nonnegative().optional().describe('Write only if this is the present version; 0 = only if unset'),
      delete: z.boolean().optional().describe('true, without value: delete the key'),
    },
  }),
  get: tool('get_state', {
    doc: 'Read a key of the shared state: value, version, who wrote it and when; null when unset.',
    input: { key: keyName.describe('The key') },
  }),
  list: tool('list_state', {
    doc: 'All keys of the shared state with values, versions, authors and times.',
    input: { prefix: z.string().max(limits.stateKeyChars).optional().describe('Only keys that begin with this') },
  }),
}
