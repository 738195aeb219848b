import { MeshError, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import { inviteKey, meshIdOf, type InviteKey } from './keys.ts'
import { concat } from './sodium.ts'

/** What an invite link says: where the broker is, which mesh, and the invite's key. The link is a secret. */
export interface InviteLink {
  /** host or host:port, without scheme. */
  readonly host: string
  /** The broker's WebSocket, ws(s)://host/ws. */
  readonly url: string
  /** The broker's HTTP side, http(s)://host. */
  readonly httpUrl: string
  readonly root: RootPubkey
  readonly mesh: MeshId
  readonly invite: InviteKey
}

const version = 1

/** `cm1:<host>#<secret>`; `host` may begin with ws:// or wss:// where the default would be wrong. Throws `bad_invite_link` for no host or seed. */
export function formatInviteLink(host: string, root: RootPubkey, seed: Uint8Array): string {
  const link = `cm1:${host}#${toB64u(concat(Uint8Array.of(version), fromB64u(root, 32), seed))}`
  parseInviteLink(link)
  return link
}

/** Reads a link, also as the command line that `claudemesh invite` prints. Throws `bad_invite_link`. */
export function parseInviteLink(text: string): InviteLink {
  const bare = text
    .trim()
    .replace(/^claudemesh\s+join\s+/u, '')
    .replace(/^(['"])(.*)\1$/su, '$2')
  const parts = /^cm1:(?:(wss?):\/\/)?([^\s/?#@\\]+)#([A-Za-z0-9_-]+)$/u.exec(bare)
  const [, scheme, authority = '', secret] = parts ?? []
  if (secret === undefined) throw bad('expected cm1:<host>#<secret>')
  const bytes = secretBytes(secret)
  const address = parseHost(authority, scheme)
  const root = toB64u(bytes.subarray(1, 33)) as RootPubkey
  return { ...address, root, mesh: meshIdOf(root), invite: inviteKey(root, bytes.subarray(33)) }
}

function secretBytes(secret: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = fromB64u(secret, 49)
  } catch {
    throw bad('the part after # is cut short or damaged')
  }
  if (bytes[0] !== version) throw bad('it is of a newer version; update claudemesh')
  return bytes
}

function parseHost(authority: string, scheme: string | undefined): Pick<InviteLink, 'host' | 'url' | 'httpUrl'> {
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/iu.test(authority)
  const secure = scheme === undefined ? !loopback : scheme === 'wss'
  let host: string
  try {
    host = new URL(`${secure ? 'https' : 'http'}://${authority}`).host
  } catch {
    throw bad(`${JSON.stringify(authority)} is not a host`)
  }
  return { host, url: `${secure ? 'wss' : 'ws'}://${host}/ws`, httpUrl: `${secure ? 'https' : 'http'}://${host}` }
}

const bad = (why: string) => new MeshError('bad_invite_link', `The invite link is incomplete or damaged (${why}); copy it again.`)
