import { readFileSync } from 'node:fs'

declare const CLAUDEMESH_GUIDE: string

/** The guide for models, CLAUDEMESH.md: from the build, or run from the sources from the file. */
export function guide(): string {
  return typeof CLAUDEMESH_GUIDE === 'undefined' ? readFileSync(new URL('../../CLAUDEMESH.md', import.meta.url), 'utf8') : CLAUDEMESH_GUIDE
}

/** The guide as a skill of Claude Code. */
export function skill(): string {
  return ['---', 'name: claudemesh', `description: ${about}`, '---', '', guide()].join('\n')
}

const about =
  'How to work with the other sessions of a claudemesh: whom to address, priorities, group roles, answering peer messages, summaries. Read it before coordinating with peers over send_message or list_peers.'
