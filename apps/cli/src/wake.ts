import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'

// A hook of Claude Code that waits until there is something to wake its session with: that goes to stderr, and the exit code 2 says so. It loads nothing,
// because it stands by for as long as the session is idle.
const [path = ''] = process.argv.slice(2)
const parent = process.ppid
const pause = 1000

function wait(): void {
  let told = ''
  const socket = connect(path).setEncoding('utf8')
  socket.on('error', () => {})
  socket.on('data', (part: string) => (told += part))
  socket.on('close', () => {
    // A server that dies leaves half a line: what it had to say comes again.
    if (told.endsWith('\n')) return finish((JSON.parse(told) as { wake?: string }).wake)
    const orphaned = process.ppid !== parent || !existsSync(dirname(path))
    // The server starts after this hook, and may have to start again.
    if (!orphaned) setTimeout(wait, pause)
  })
}

/** Without a word a newer hook has taken this one's place. */
function finish(wake: string | undefined): void {
  if (wake === undefined) return
  process.stderr.write(wake)
  process.exitCode = 2
}

wait()
