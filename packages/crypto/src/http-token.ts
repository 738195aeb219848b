import { MeshError, times, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import { toB64u } from './base64.ts'
import type { SessionKey } from './keys.ts'
import type { Random } from './random.ts'
import { peekToken, signToken, verifyToken } from './token.ts'

export type HttpMethod = 'GET' | 'HEAD' | 'PUT'

/** What a signed request is about. */
export interface HttpRequest {
  /** The broker as the client dialled it: scheme ws or wss, host and port. */
  readonly aud: string
  readonly method: HttpMethod
  /** With its query. */
  readonly path: string
  /** Bytes of the body. */
  readonly size: number
}

/** The `authorization` of one HTTP request, signed by a session. */
export const signHttp = (o: HttpRequest & { mesh: MeshId; session: SessionKey; ts: number; random: Random }): string =>
  `CM1 ${signToken('http', { m: o.mesh, k: o.session.publicKey, aud: o.aud, mth: o.method, path: o.path, size: o.size, ts: o.ts, n: toB64u(o.random(16)) }, o.session)}`

/** Who signed this request, if it is fresh; whether that session may and whether `nonce` was used before is the caller's to know. Throws `unauthorized` or `clock_skew`. */
export function verifyHttp(header: string, o: Omit<HttpRequest, 'aud'> & { auds: ReadonlySet<string>; now: number }): HttpCaller {
  const { m, k, aud, mth, path, size, ts, n } = readToken(header)
  if (mth !== o.method || path !== o.path || size !== o.size) throw new MeshError('unauthorized', 'the request was signed for another one')
  if (!o.auds.has(aud)) throw new MeshError('bad_audience')
  if (Math.abs(o.now - ts) > times.skew) throw new MeshError('clock_skew')
  return { mesh: m, session: k, nonce: n, ts }
}

export interface HttpCaller {
  readonly mesh: MeshId
  readonly session: SessionPubkey
  readonly nonce: string
  readonly ts: number
}

function readToken(header: string) {
  const token = /^CM1 (\S+)$/.exec(header)?.[1] ?? ''
  try {
    const { m, k } = peekToken(token, 'http')
    return verifyToken(token, 'http', m, k)
  } catch (cause) {
    throw new MeshError('unauthorized', 'the request is not signed by a session', { cause })
  }
}
