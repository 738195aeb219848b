import { basename, join, sep } from 'node:path'

const folders = [
  '.ssh',
  '.gnupg',
  '.aws',
  '.azure',
  '.kube',
  '.docker',
  '.password-store',
  join('.config', 'gh'),
  join('.config', 'gcloud'),
  join('.local', 'share', 'keyrings'),
]
const names: readonly RegExp[] = [
  /^\.env(?!\.(?:example|sample|template|dist)$)(?:\..*|rc)?$/i,
  /^\.(?:netrc|npmrc|pypirc|pgpass|git-credentials|htpasswd|credentials(?:\.json)?)$/i,
  /^(?:credentials|secrets?)(?:\.(?:json|ya?ml|toml|ini|txt))?$/i,
  /^id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?!.*\.pub$)/i,
  /\.(?:pem|key|p12|pfx|ppk|jks|keystore|kdbx?|asc)$/i,
  /^root\.key$/i,
]
const systems = ['/proc', '/sys', '/dev']

export interface SecretPlaces {
  readonly home: string
  /** Folders of this program with keys in them. */
  readonly own: readonly string[]
}

/** Why a file should not leave this machine; undefined when nothing speaks against it. */
export function secretReason(path: string, { home, own }: SecretPlaces): string | undefined {
  if (systems.some((folder) => isWithin(path, folder))) return 'it is no file but a view of the system'
  if (own.some((folder) => isWithin(path, folder))) return 'it belongs to claudemesh itself, whose keys are there'
  if (folders.some((folder) => isWithin(path, join(home, folder)))) return 'it stands in a folder of keys and credentials'
  return names.some((name) => name.test(basename(path))) ? 'its name is that of a secret' : undefined
}

/** Whether a path is a folder or something in it; both without links. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}
