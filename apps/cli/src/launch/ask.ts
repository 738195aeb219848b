import { input, select } from '@inquirer/prompts'
import type { Context } from '../context.ts'

type Place = Pick<Context, 'stdin' | 'stdout'>

/** Asks for one line. `initial` stands there to be edited; `check` throws what is wrong with an answer. */
export async function askLine(place: Place, label: string, options: { initial?: string; check: (answer: string) => void }): Promise<string> {
  const answer = await input(
    {
      message: label,
      ...(options.initial === undefined ? {} : { default: options.initial, prefill: 'editable' as const }),
      validate: (text) => fault(options.check, text),
      theme: bare(label),
    },
    streams(place),
  )
  return answer.trim()
}

/** Asks for yes or no; Enter means yes. */
export async function askConsent(place: Place, label: string): Promise<boolean> {
  const answer = await askLine(place, `${label} [Y/n]`, {
    check: (text) => {
      if (!/^\s*(y|yes|n|no)?\s*$/i.test(text)) throw new Error('answer y or n')
    },
  })
  return !/^n/i.test(answer)
}

/** Lets one of several be chosen. */
export function askChoice(place: Place, label: string, choices: readonly { readonly name: string; readonly value: string }[]): Promise<string> {
  return select({ message: '', choices, theme: { prefix: label } }, streams(place))
}

// A line is the label and the answer: the label goes where a mark would stand, and no message follows it.
const bare = (label: string) => ({ prefix: label, style: { message: () => undefined as unknown as string } })

const streams = ({ stdin, stdout }: Place) => ({ input: stdin, output: stdout })

function fault(check: (text: string) => void, text: string): true | string {
  try {
    check(text)
    return true
  } catch (error) {
    return error instanceof Error ? error.message : 'not possible'
  }
}
