import { contract } from '@claudemesh/protocol'
import { files } from './features/files.ts'
import { groups } from './features/groups.ts'
import { memory } from './features/memory.ts'
import { keys } from './features/keys.ts'
import { messages } from './features/messages.ts'
import { peers } from './features/peers.ts'
import { greetings, session } from './features/session.ts'
import { state } from './features/state.ts'
import { tableOf } from './handlers.ts'
import type { Greeting, Ready } from './kernel.ts'

export const greetingTable = tableOf<Greeting>([[contract.session, greetings]])

export const readyTable = tableOf<Ready>([
  [contract.session, session],
  [contract.peers, peers],
  [contract.groups, groups],
  [contract.messages, messages],
  [contract.memory, memory],
  [contract.keys, keys],
  [contract.state, state],
  [contract.files, files],
])
