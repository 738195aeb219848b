import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Failure } from '../failure.ts'

const names = process.platform === 'win32' ? ['claude.exe', 'claude.cmd'] : ['claude']

/** The `claude` that the user's PATH finds first. Throws `no_claude` with the remedy. */
export function findClaude(path: string | undefined): string {
  const [first] = allOnPath(path, names)
  if (first !== undefined) return first
  throw new Failure('no_claude', 'Claude Code is not installed, or `claude` is not on the PATH; run: npm install -g @anthropic-ai/claude-code')
}

/** Every program of one of these names on the PATH, in its order. */
export function allOnPath(path: string | undefined, names: readonly string[]): string[] {
  const folders = (path ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).filter(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
