import { z } from 'zod'
import { request, tool } from '../define.ts'
import { token } from '../fields.ts'
import { limits } from '../limits.ts'

const name = z.string().min(1).max(limits.nameChars)
const role = z.string().max(limits.roleChars).optional()

export const groups = {
  join: request('join_group', {
    doc: 'Joins a group, or changes the role in it. The presence token carries the same, signed.',
    input: { name, role, presence: token },
  }),
  leave: request('leave_group', {
    doc: 'Leaves a group. The presence token no longer names it.',
    input: { name, presence: token },
  }),
}

export const groupTools = {
  join: tool('join_group', {
    doc: 'Join a group, or change your role in it (free-form: lead, member, observer, ...).',
    input: { name: name.describe('Group name, with or without @'), role: role.describe('Your role in the group') },
  }),
  leave: tool('leave_group', {
    doc: 'Leave a group.',
    input: { name: name.describe('Group name, with or without @') },
  }),
}
