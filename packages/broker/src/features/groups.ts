import { MeshError, parseGroup, type contract } from '@claudemesh/protocol'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { acceptPresence, storePresence } from '../signed-presence.ts'

/** Membership in a group is what the session signs; the request says what changed, and both must agree. */
export const groups: Handlers<typeof contract.groups, Ready> = {
  join: async (context, { name, role, presence }) => {
    const group = parseGroup(name)
    const signed = acceptPresence(context, presence)
    const found = signed.groups.find((g) => g.name === group)
    if (!found || (found.role ?? '') !== (role?.normalize('NFC').trim() ?? ''))
      throw new MeshError('bad_presence', 'the presence does not carry this group and role')
    await storePresence(context, signed)
    return {}
  },
  leave: async (context, { name, presence }) => {
    const group = parseGroup(name)
    const signed = acceptPresence(context, presence)
    if (signed.groups.some((g) => g.name === group)) throw new MeshError('bad_presence', 'the presence still carries this group')
    await storePresence(context, signed)
    return {}
  },
}
