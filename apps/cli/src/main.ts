#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { run } from './run.ts'
import { systemContext } from './context.ts'

await run(systemContext(fileURLToPath(import.meta.url), '0.1.0'), process.argv.slice(2))
