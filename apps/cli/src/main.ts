#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import manifest from '../package.json' with { type: 'json' }
import { systemContext } from './context.ts'
import { run } from './run.ts'

const argv = process.argv.slice(2)
// Who reads no further, as `head` does, has what he wanted; what runs until it is stopped says goodbye first. The MCP server learns from its input that its reader is gone.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  if (argv[0] !== 'mcp' && !process.emit('SIGPIPE', 'SIGPIPE')) process.exit(0)
})
process.exitCode = await run(systemContext(fileURLToPath(import.meta.url), manifest.version), argv)
