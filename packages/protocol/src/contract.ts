import type { Feature } from './define.ts'
import { files, fileTools } from './features/files.ts'
import { groups, groupTools } from './features/groups.ts'
import { memory, memoryTools } from './features/memory.ts'
import { keys } from './features/keys.ts'
import { messages, messageTools } from './features/messages.ts'
import { peers, peerTools } from './features/peers.ts'
import { session } from './features/session.ts'
import { state, stateTools } from './features/state.ts'

/** The wire contract: every noun with its requests, notices and events. Everything mechanical is derived from this table. */
export const contract = { session, peers, groups, messages, keys, state, memory, files } satisfies Record<string, Feature>

/** The verbs of the model and the shell, by noun. */
export const tools = { peers: peerTools, groups: groupTools, messages: messageTools, state: stateTools, memory: memoryTools, files: fileTools }

export type Contract = typeof contract
