import { CommanderError } from 'commander'
import { MeshError } from '@claudemesh/protocol'
import type { Context } from './context.ts'
import { Failure } from './failure.ts'
import { makeProgram } from './program.ts'

/** Runs one command line and answers its exit code: 0, 1 failed with one line on stderr, 2 wrong usage. */
export async function run(context: Context, argv: readonly string[]): Promise<number> {
  const end = argv[0] === 'launch' ? argv.indexOf('--') : -1
  const own = idsLast(end < 0 ? argv : argv.slice(0, end))
  const claudeArgs = end < 0 ? [] : argv.slice(end + 1)
  let exitCode = 0
  try {
    await makeProgram(context, claudeArgs, (code) => (exitCode = code)).parseAsync(own, { from: 'user' })
    return exitCode
  } catch (error) {
    return report(context, error, own.includes('--json'))
  }
}

const namedById: ReadonlySet<string | undefined> = new Set(['trace', 'forget', 'revoke', 'remove', 'verify'])
const dashedId = /^-[^-][\w-]{4,}$/

/** One id in 64 begins with a dash, and is no option for that. */
function idsLast(argv: readonly string[]): readonly string[] {
  const ids = argv.filter((arg) => dashedId.test(arg))
  if (ids.length === 0 || argv.includes('--') || !namedById.has(argv[0])) return argv
  return [...argv.filter((arg) => !dashedId.test(arg)), '--', ...ids]
}

/** Says what went wrong in one line, as JSON where that was asked for, and answers the exit code. */
function report(context: Context, error: unknown, json: boolean): number {
  // Commander has printed its help or complaint already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const { code, message } = wordsOf(error)
  context.tellParent({ error: { code, message } })
  context.stderr.write(json ? `${JSON.stringify({ error: { code, message } })}\n` : `claudemesh: ${message}\n`)
  if (code === 'internal' && context.env['CLAUDEMESH_DEBUG']) context.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  return error instanceof Failure ? error.exitCode : 1
}

const noRoom = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

function wordsOf(error: unknown): { code: string; message: string } {
  if (error instanceof MeshError) return { code: error.code, message: oneLine(error.message) }
  const cause = (error instanceof Error ? (error.cause ?? error) : {}) as NodeJS.ErrnoException
  // Files are replaced whole or not at all.
  if (noRoom.has(cause.code ?? '')) return { code: 'disk_full', message: 'the disk has no room left to write; free some and try again: all is as it was' }
  if (error instanceof Failure) return { code: error.code, message: oneLine(error.message) }
  return { code: 'internal', message: error instanceof Error ? oneLine(error.message) : 'unknown failure' }
}

const oneLine = (text: string) => text.replace(/\s*\n\s*/g, ' ')
