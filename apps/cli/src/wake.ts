import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

// A hook of Claude Code that waits until there is something to wake its session with: that goes to stderr, and the exit code 2 says so. It loads nothing,
// because it stands by for as long as the session is idle.
const [path = ''] = process.argv.slice(2)
const parent = process.ppid
const pause = 1000

function wait(): void {
  let settled = false
  const socket = connect(path)
  socket.on('error', () => {})
  createInterface({ input: socket })
    .on('error', () => {})
    .on('line', (line) => {
      settled = true
      const { wake } = JSON.parse(line) as { wake?: string }
      // Without a word a newer hook has taken this one's place.
      if (wake === undefined) process.exit(0)
      process.stderr.write(wake, () => process.exit(2))
    })
  socket.on('close', () => {
    // The server starts after this hook, and may have to start again.
    const orphaned = process.ppid !== parent || !existsSync(dirname(path))
    if (!settled && !orphaned) setTimeout(wait, pause)
  })
}

wait()
