#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import manifest from '../package.json' with { type: 'json' }
import { systemContext } from './context.ts'
import { run } from './run.ts'

process.exitCode = await run(systemContext(fileURLToPath(import.meta.url), manifest.version), process.argv.slice(2))
