import { setTimeout as wait } from 'node:timers/promises'
import type { Context } from '../context.ts'
import { connectModel } from '../session/model-session.ts'

const patience = 2000

/**
 * Tells the mesh that the session has ended and its key is destroyed, so that no ghost bears its name. The MCP server cannot say so: when it is
 * stopped it does not know whether it will be started again.
 */
export async function farewell(context: Context, handover: string): Promise<void> {
  const cancel = new AbortController()
  const gone = connectModel(context, { handover }, { persist: false, showsMail: false }).then(({ mesh }) => mesh.close({ bye: true }))
  try {
    await Promise.race([gone, wait(patience, undefined, { signal: cancel.signal, ref: true })])
  } catch {
    // The broker will notice by itself, only later.
  } finally {
    cancel.abort()
  }
}
