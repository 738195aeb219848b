import { z } from 'zod'

const entry = z.object({
  offered: z.array(z.string()).optional(),
  withdrawn: z.array(z.string()).optional(),
  surfaced: z.array(z.string()).optional(),
  transcript: z.string().optional(),
})

/** What the MCP servers of a session left: ids of messages, no keys and no texts. */
export const keptForm = z.object({ shown: z.array(z.string()), offered: z.array(z.string()), transcript: z.string().optional() })
type KeptValue = z.infer<typeof keptForm>

/** The newest of these are kept: a broker that repeats a still older message to a new MCP server would have it shown again. */
const mostShown = 50_000

/** What the MCP servers of a session did with its messages. */
export class Kept {
  readonly #shown = new Set<string>()
  readonly #offered = new Set<string>()
  #transcript: string | undefined

  get value(): KeptValue {
    return { shown: [...this.#shown], offered: [...this.#offered], ...(this.#transcript === undefined ? {} : { transcript: this.#transcript }) }
  }

  /** False for a line of the wrong form. */
  take(line: string): boolean {
    const parsed = entry.safeParse(jsonOf(line))
    if (!parsed.success) return false
    const { offered = [], withdrawn = [], surfaced = [], transcript } = parsed.data
    for (const id of offered) this.#offered.add(id)
    for (const id of [...withdrawn, ...surfaced]) this.#offered.delete(id)
    for (const id of surfaced) this.#shown.add(id)
    for (const id of this.#shown) {
      if (this.#shown.size <= mostShown) break
      this.#shown.delete(id)
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
