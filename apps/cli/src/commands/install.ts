import { register, unregister } from '../claude/registration.ts'
import type { Context } from '../context.ts'
import { invocation } from '../invocation.ts'
import type { Result } from '../output.ts'

/** Registers the MCP server, the hooks and the guide with Claude Code, for sessions that are started without `launch`. */
export async function install(context: Context): Promise<Result> {
  const changed = await register(context)
  const text = changed.length === 0 ? ['everything was in place already'] : changed.map((path) => `wrote ${path}`)
  const next = `plain claude sessions are peers from their next start on; ${invocation(context)} uninstall takes all of it back`
  return { json: { installed: true, changed }, text: [...text, next] }
}

/** Takes back what `install` did. */
export async function uninstall(context: Context): Promise<Result> {
  const changed = await unregister(context)
  return { json: { installed: false, changed }, text: changed.length === 0 ? 'nothing of ours was there' : changed.map((path) => `restored ${path}`) }
}
