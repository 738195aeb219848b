import type { Progress } from '@claudemesh/client'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'

const width = 24
const every = 100

/** Draws how far a transfer is, on stderr and only where a person watches it. */
export function progressBar({ stderr, clock }: Context, output: Output): Progress {
  if (output.json || (stderr as { isTTY?: boolean }).isTTY !== true) return () => {}
  let drawn = 0
  return (moved, size) => {
    const now = clock.now()
    const done = moved >= size
    if (!done && now - drawn < every) return
    drawn = now
    const share = size === 0 ? 1 : moved / size
    const filled = Math.round(share * width)
    stderr.write(`\r${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${Math.floor(share * 100)} %${done ? '\n' : ''}`)
  }
}
