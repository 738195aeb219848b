import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, processMark } from '../home/alive.ts'
import { ensurePrivateFolder } from '../home/private-file.ts'
import { owner, plainPrefix, sessionsFolder } from './session-folder.ts'

const mark = 'owner.mark'
const server = 'server.pid'

/**
 * The 0700 folder of a session that Claude Code started without `launch`, named by that process: an MCP server that follows a crashed one finds what that
 * left. There are no keys in it.
 */
export class PlainFolder implements Disposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** The folder for the server of this Claude Code; undefined where another server of it uses it, or none can be made. */
  static take(home: string, claude: number): PlainFolder | undefined {
    const path = join(sessionsFolder(home), `${plainPrefix}${claude}`)
    try {
      ensurePrivateFolder(home)
      ensurePrivateFolder(sessionsFolder(home))
      // A process of the same id that lived before is another session.
      if (read(join(path, mark)) !== processMark(claude)) rmSync(path, { recursive: true, force: true })
      const earlier = Number(read(join(path, server)))
      if (earlier > 0 && earlier !== process.pid && isAlive(earlier)) return undefined
      mkdirSync(path, { recursive: true, mode: 0o700 })
      for (const [name, text] of Object.entries({ [owner]: String(claude), [mark]: processMark(claude), [server]: String(process.pid) })) {
        writeFileSync(join(path, name), text, { mode: 0o600 })
      }
      return new PlainFolder(path)
    } catch {
      // The session works without: it is only forgotten with its server.
      rmSync(path, { recursive: true, force: true })
      return undefined
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
