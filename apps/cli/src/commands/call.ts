import { runTool } from '@claudemesh/mcp'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import { plainText, type Result } from '../output.ts'
import { localFilesOf, withMesh } from '../session/connect.ts'

/** Runs one tool of the model's from the shell, in a session of its own. */
export async function call(context: Context, tool: string, json: string, flags: { mesh?: string; name?: string }): Promise<Result> {
  const input = parse(json)
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const answer = await withMesh(context, entry, parsePersona(flags, entry.name), (mesh) => runTool(mesh, tool, input, { files: localFilesOf(context) }))
  return { json: answer, text: typeof answer === 'string' ? plainText(answer) : JSON.stringify(answer, null, 2) }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new Failure('usage', `the arguments are not JSON: ${(cause as Error).message}`, { cause })
  }
}
