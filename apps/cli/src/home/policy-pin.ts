import { join } from 'node:path'
import type { PolicyPin } from '@claudemesh/client'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

/** The newest policy this user has seen of a mesh, in a file of its own so that sessions need no lock to keep it. */
export function policyPin(home: string, mesh: string): PolicyPin {
  const folder = join(home, 'policies')
  const file = join(folder, mesh)
  return {
    load: () => readPrivate(file),
    save: (token) => {
      ensurePrivateFolder(home)
      ensurePrivateFolder(folder)
      replacePrivate(file, token)
    },
  }
}
