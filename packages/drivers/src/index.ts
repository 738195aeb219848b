export { readMigrations, statementsOf, type Migration } from './migrations.ts'
export { openBus, openStore, type StoreOptions } from './open.ts'
