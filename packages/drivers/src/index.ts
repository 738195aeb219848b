export { readMigrations, statementsOf, type Migration } from './migrations.ts'
export { openBlob, openBus, openStore, type StoreOptions } from './open.ts'
