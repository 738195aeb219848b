import { sql } from 'drizzle-orm'
import type { Kernel } from './kernel.ts'
import { rows } from './sql.ts'

/** What the whole store holds for those who wait, and for files. */
export interface Counted {
  readonly messages: number
  /** When the oldest message that nobody received was stored. */
  readonly oldest: number | undefined
  readonly fileBytes: number
}

// Counting costs the store no more than this share of its time, however much it holds.
const share = 1 / 50

/** Counts the whole store now and then, for the metrics: reading it at every look would cost whoever is served. */
export class Census {
  #counted: Counted = { messages: 0, oldest: undefined, fileBytes: 0 }
  #due = Number.NEGATIVE_INFINITY

  get counted(): Counted {
    return this.#counted
  }

  async count({ db, clock }: Pick<Kernel, 'db' | 'clock'>): Promise<void> {
    const began = clock.now()
    if (began < this.#due) return
    const [queued] = await rows<{ messages: number; oldest: number | null }>(
      db,
      sql`select count(*)::float8 as messages, (min(at) filter (where rung = 'stored'))::float8 as oldest from mesh.delivery where rung in ('stored', 'received')`,
    )
    const [files] = await rows<{ bytes: number }>(
      db,
      sql`select coalesce(sum(size_bytes), 0)::float8 as bytes from mesh.file where finished_at is not null and removed_at is null`,
    )
    const ended = clock.now()
    this.#due = ended + (ended - began) / share
    this.#counted = { messages: queued?.messages ?? 0, oldest: queued?.oldest ?? undefined, fileBytes: files?.bytes ?? 0 }
  }
}
