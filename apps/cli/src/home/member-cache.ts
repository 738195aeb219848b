import { join } from 'node:path'
import type { MemberCache } from '@claudemesh/client'
import { z } from 'zod'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

const form = z.object({ at: z.number(), chains: z.array(z.array(z.string())) })

/** The members of a mesh as its broker last listed them. A damaged file is as good as none: the broker is asked again. */
export function memberCache(home: string, mesh: string): MemberCache {
  const folder = join(home, 'members')
  const file = join(folder, mesh)
  return {
    load: () => {
      try {
        return form.safeParse(JSON.parse(readPrivate(file) ?? '')).data
      } catch (error) {
        if (error instanceof SyntaxError) return undefined
        throw error
      }
    },
    save: (list) => {
      ensurePrivateFolder(home)
      ensurePrivateFolder(folder)
      replacePrivate(file, JSON.stringify(list))
    },
  }
}
