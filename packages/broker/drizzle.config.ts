import { defineConfig } from 'drizzle-kit'

export default defineConfig({ dialect: 'postgresql', schema: './packages/broker/src/tables.ts', out: './drizzle', schemaFilter: ['mesh'] })
