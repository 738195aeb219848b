import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultBudget, type Budget } from '@claudemesh/mcp'
import { z } from 'zod'
import { Failure } from '../failure.ts'

const budget = z.strictObject({
  messages: z.int().min(0).optional(),
  answers: z.int().min(0).optional(),
  thread: z.int().min(0).optional(),
  minutes: z.number().positive().optional(),
  hops: z.int().min(0).optional(),
})
const form = budget.extend({ meshes: z.record(z.string(), budget).optional() })

/**
 * How much the peers of a mesh may make a session do: the defaults, changed by `limits.json`, changed by what that says of the mesh. Throws `broken_limits`
 * rather than guess what a person meant to forbid.
 */
export function loadBudget(home: string, slug: string): Budget {
  const path = join(home, 'limits.json')
  // No secret: an editor may have left it readable in the private folder.
  if (!existsSync(path)) return defaultBudget
  const text = readFileSync(path, 'utf8')
  const parsed = form.safeParse(jsonOf(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new Failure('broken_limits', `${path} is damaged (${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'wrong form'}); mend it, or remove it`)
  }
  const { meshes, ...all } = parsed.data
  return within(within(defaultBudget, all), meshes?.[slug] ?? {})
}

function within(base: Budget, { messages, answers, thread, minutes, hops }: z.infer<typeof budget>): Budget {
  return {
    messages: messages ?? base.messages,
    answers: answers ?? base.answers,
    thread: thread ?? base.thread,
    windowMs: minutes === undefined ? base.windowMs : minutes * 60_000,
    hops: hops ?? base.hops,
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
