import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Failure } from '../failure.ts'

const names = process.platform === 'win32' ? ['claude.exe', 'claude.cmd'] : ['claude']

/** The `claude` that the user's PATH finds first. Throws `no_claude` with the remedy. */
export function findClaude(path: string | undefined): string {
  for (const folder of (path ?? '').split(delimiter)) {
    if (folder === '') continue
    for (const name of names) {
      const candidate = join(folder, name)
      if (isExecutable(candidate)) return candidate
    }
  }
  throw new Failure('no_claude', 'Claude Code is not installed, or `claude` is not on the PATH; run: npm install -g @anthropic-ai/claude-code')
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
