import type { Readable, Writable } from 'node:stream'
import type { Mesh } from '@claudemesh/client'
import { MeshError, type Clock, type Log } from '@claudemesh/protocol'

export interface ServeOptions {
  /** The session; a function is called once, at once, so that connecting never delays `initialize`. */
  readonly mesh: Promise<Mesh> | (() => Promise<Mesh>)
  readonly input: Readable
  readonly output: Writable
  readonly version: string
  readonly clock: Clock
  readonly log?: Log
  /** The session inbox of the Claude Code that started this server. Without it messages wait for check_messages. */
  readonly inbox?: { readonly path: string; readonly token?: string }
}

/** A running server. Disposing it ends delivery and the MCP connection within 100 ms; the mesh is the caller's to close. */
export interface McpServerHandle extends AsyncDisposable {
  /** Settles when the client closed its end. */
  readonly closed: Promise<void>
}

/** Serves the mesh's tools over MCP and delivers messages into the session. */
export async function serveMcp(_options: ServeOptions): Promise<McpServerHandle> {
  throw new MeshError('internal', 'not built yet')
}
