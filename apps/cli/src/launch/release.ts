import { watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const file = 'continue'

/** Asks the MCP server of the session in this folder to let through what its guard holds back. */
export function askRelease(folder: string, now: number): void {
  writeFileSync(join(folder, file), String(now), { mode: 0o600 })
}

/** Calls `release` whenever a person asks for it, until the returned function is called. */
export function watchRelease(folder: string, release: () => void): () => void {
  try {
    const watcher = watch(folder, { persistent: false }, (_event, name) => name === file && release())
    watcher.on('error', () => watcher.close())
    return () => watcher.close()
  } catch {
    // No more than the word of a person is lost, who sees that nothing happens.
    return () => {}
  }
}
