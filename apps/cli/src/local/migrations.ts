import type { StoreOptions } from '@claudemesh/drivers'

declare const CLAUDEMESH_MIGRATIONS: StoreOptions['migrations']

/** The schema's steps that the build put into this file; run from the sources, the drivers read them from the repository. */
export function bundledMigrations(): StoreOptions {
  return typeof CLAUDEMESH_MIGRATIONS === 'undefined' ? {} : { migrations: CLAUDEMESH_MIGRATIONS }
}
