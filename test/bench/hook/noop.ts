import { once } from 'node:events'
import { serveStandby } from '@claudemesh/mcp'

const server = await serveStandby({ input: process.stdin, output: process.stdout, version: '0' })
process.send?.({ url: '' })
await once(process, 'disconnect')
await server[Symbol.asyncDispose]()
process.exit(0)
