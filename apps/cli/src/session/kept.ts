import { attachment, type Attachment } from '@claudemesh/protocol'
import { z } from 'zod'

const entry = z.object({
  offered: z.array(z.string()).optional(),
  withdrawn: z.array(z.string()).optional(),
  surfaced: z.array(z.string()).optional(),
  attached: z.array(attachment).optional(),
  transcript: z.string().optional(),
})

/** What the MCP servers of a session left: ids of messages, no texts; in the memory of a launch also how files that came with messages are fetched and opened. */
export const keptForm = z.object({
  shown: z.array(z.string()),
  offered: z.array(z.string()),
  transcript: z.string().optional(),
  attached: z.array(attachment).optional(),
})
type KeptValue = z.infer<typeof keptForm>

/** The newest of these are kept: a broker that repeats a still older message to a new MCP server would have it shown again. */
const mostShown = 50_000
const mostAttached = 4096

/** What the MCP servers of a session did with its messages. */
export class Kept {
  readonly #shown = new Set<string>()
  readonly #offered = new Set<string>()
  readonly #attached = new Map<string, Attachment>()
  #transcript: string | undefined

  get value(): KeptValue {
    return {
      shown: [...this.#shown],
      offered: [...this.#offered],
      ...(this.#transcript === undefined ? {} : { transcript: this.#transcript }),
      ...(this.#attached.size === 0 ? {} : { attached: [...this.#attached.values()] }),
    }
  }

  /** False for a line of the wrong form. */
  take(line: string): boolean {
    const parsed = entry.safeParse(jsonOf(line))
    if (!parsed.success) return false
    const { offered = [], withdrawn = [], surfaced = [], attached = [], transcript } = parsed.data
    for (const id of offered) this.#offered.add(id)
    for (const id of [...withdrawn, ...surfaced]) this.#offered.delete(id)
    for (const id of surfaced) this.#shown.add(id)
    for (const id of this.#shown) {
      if (this.#shown.size <= mostShown) break
      this.#shown.delete(id)
    }
    for (const file of attached) if (!this.#attached.has(file.id)) this.#attached.set(file.id, file)
    for (const id of this.#attached.keys()) {
      if (this.#attached.size <= mostAttached) break
      this.#attached.delete(id)
    }
    if (transcript !== undefined) this.#transcript = transcript
    return true
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
