import { sql } from 'drizzle-orm'
import type { FileId, MeshId } from '@claudemesh/protocol'
import { causeOf } from './cause.ts'
import type { Kernel } from './kernel.ts'
import type { Blob, BlobKey } from './ports.ts'

/** How long a service may take to answer. */
const patience = 2000

type Word = 'ok' | 'failed' | 'slow' | 'lost' | 'draining'

/** Whether this broker should be sent traffic, part by part; parts that are not configured are left out. */
export async function readiness(kernel: Kernel): Promise<Record<string, Word>> {
  const { db, blob, nodes } = kernel
  const [store, files] = await Promise.all([asked(kernel, 'store', () => db.execute(sql`select 1`)), blob && asked(kernel, 'blob', () => probe(blob))])
  return {
    broker: kernel.draining() ? 'draining' : 'ok',
    store,
    ...(files === undefined ? {} : { blob: files }),
    ...(nodes.bus ? { bus: nodes.up ? ('ok' as const) : ('lost' as const) } : {}),
  }
}

// An object that cannot exist: asking for it shows whether the storage answers.
const nowhere: BlobKey = { area: 'shared', mesh: 'a'.repeat(32) as MeshId, file: `f_${'a'.repeat(26)}` as FileId }

/** Resolves when the storage answers. */
export async function probe(blob: Blob): Promise<void> {
  const found = await blob.read(nowhere)
  if (found) for await (const _ of found.body) break
}

async function asked({ clock, log }: Kernel, what: string, ask: () => PromiseLike<unknown>): Promise<Word> {
  let cancel = () => {}
  const late = new Promise<Word>((resolve) => (cancel = clock.after(patience, () => resolve('slow'))))
  const answer = Promise.resolve(ask()).then(
    (): Word => 'ok',
    (error: unknown): Word => {
      log('warn', 'not_ready', { what, cause: causeOf(error) })
      return 'failed'
    },
  )
  const word = await Promise.race([answer, late])
  cancel()
  return word
}
