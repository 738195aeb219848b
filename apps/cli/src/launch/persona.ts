import { parseGroupList, parseLabel, parseName, limits } from '@claudemesh/protocol'

/** Who a session is among its peers. */
export interface Persona {
  readonly name: string
  readonly role?: string
  readonly groups: readonly { readonly name: string; readonly role?: string }[]
}

/** The persona of `--name`, `--role` and `--groups`, checked; without a name it is the member's. Throws `bad_name`. */
export function parsePersona(flags: { name?: string; role?: string; groups?: string }, memberName: string): Persona {
  const role = flags.role === undefined ? '' : parseLabel(flags.role, 'role', limits.roleChars)
  return {
    name: parseName(flags.name ?? memberName),
    ...(role === '' ? {} : { role }),
    // Everybody is in @all; naming it is allowed and changes nothing.
    groups: parseGroupList(flags.groups ?? '').filter((group) => group.name !== 'all'),
  }
}
