import { z } from 'zod'
import { event, request } from '../define.ts'
import { chain, exactBytes } from '../fields.ts'
import { memberPubkey } from '../ids.ts'
import { limits } from '../limits.ts'

const epoch = z.int().positive()
const commitment = exactBytes(32).describe('The policy’s commitment to the key.')
const sealed = { n: exactBytes(24), c: exactBytes(64) }

/** A mesh key boxed for one reader, with the member who boxed it. */
export const keybox = z.object({ e: epoch, ...sealed, by: memberPubkey })

/** A key box on its way to the broker; who sends it boxed it, and the request says for whom. */
export const deposit = z.object({ mk: commitment, ...sealed })

const back = z.object({ n: exactBytes(24), c: exactBytes(48), h: exactBytes(32).optional() })

export const keys = {
  put: request('put_keyboxes', {
    doc: 'Deposits key boxes. Of the epoch in force: for oneself, for an invite (admins), or for a member that asked. Of the next epoch: by admins, unseen until the policy that begins it is set.',
    input: {
      epoch,
      mk: commitment,
      boxes: z
        .array(z.object({ reader: exactBytes(32), ...sealed }))
        .min(1)
        .max(limits.keyboxesPerFrame),
    },
  }),
  get: request('get_keyboxes', {
    doc: 'The boxes of the present mesh key for this member, by whoever made one; the own first.',
    input: {},
    reply: 'keyboxes',
    output: { boxes: z.array(keybox) },
  }),
  backs: request('list_backs', {
    doc: 'How each epoch’s key leads to the one before it, newest first, from the epoch below `before` on.',
    input: { before: epoch },
    reply: 'backs',
    output: { backs: z.array(z.object({ epoch, back })) },
  }),
  ask: request('request_key', {
    doc: 'Asks members who are online for the present mesh key, because the broker has no box for this one that opens. The answer comes as a keybox event.',
    input: {},
    reply: 'key_requested',
    output: { asked: z.int().describe('How many members were told.') },
  }),
  wanted: event('key_wanted', {
    doc: 'A member has no box of the present mesh key. Whoever has the key answers with put_keyboxes, once the member’s certificates verify.',
    body: { memberPubkey, chain },
  }),
  given: event('keybox', {
    doc: 'A box of the present mesh key, for this member, by one whom it asked.',
    body: { keybox },
  }),
}
