import type { Mesh } from '@claudemesh/client'
import { MeshError } from '@claudemesh/protocol'

/** Runs one tool of protocol's `tools` against a mesh: the same for the model and for the shell. Throws MeshError; unknown names are `not_found`. */
export async function runTool(_mesh: Mesh, _name: string, _args: unknown): Promise<string | object> {
  throw new MeshError('internal', 'not built yet')
}
