import { limits, MeshError, nesting, type MeshId } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import type { KeyPair } from './keys.ts'
import { payloads, provesPossession, tokenChars, type Payload, type TokenType } from './payloads.ts'
import { concat, decodeText, encodeText, hash, sign, verifies } from './sodium.ts'

const domain = (type: TokenType) => `cm1:${type}\0`
const possession = 'cm1:pop\0'
/** A value as deep as a frame may be, inside the payload. */
const depthMax = limits.jsonDepth + 1

/** Signs a payload as a token. With `subject`, that key's proof of possession is appended. Throws `too_large`. */
export function signToken(type: TokenType, payload: object, issuer: KeyPair<string>, subject?: KeyPair<string>): string {
  const bytes = encodeText(JSON.stringify({ t: type, ...payload }))
  const signed = concat(domain(type), bytes)
  const parts = [bytes, sign(issuer.secretKey, signed)]
  if (subject) parts.push(sign(subject.secretKey, possession, hash(32, signed)))
  const token = parts.map(toB64u).join('.')
  if (token.length > tokenChars(type)) throw new MeshError('too_large', `the ${type} token is over ${tokenChars(type)} characters`)
  return token
}

/** The payload of a token of this type, mesh and issuer, its signatures verified over the bytes as received. Throws `bad_token`. */
export function verifyToken<T extends TokenType>(token: string, type: T, mesh: MeshId, issuer: string): Payload<T> {
  const { bytes, signature, proof } = split(token, type)
  const signed = concat(domain(type), bytes)
  if (!verifies(fromB64u(issuer, 32), signature, signed)) throw bad(type, 'its signature does not verify')
  const payload = parsePayload(bytes, type)
  if (payload.m !== mesh) throw bad(type, 'it belongs to another mesh')
  if (proof && 'k' in payload && !verifies(fromB64u(payload.k, 32), proof, possession, hash(32, signed)))
    throw bad(type, 'it does not prove possession of the certified key')
  return payload
}

/** The payload of a token whose signature nobody has checked yet. Throws `bad_token`. */
export const peekToken = <T extends TokenType>(token: string, type: T): Payload<T> => parsePayload(split(token, type).bytes, type)

/** What two ends compare to know that they hold the same token. */
export const tokenHash = (token: string): string => toB64u(hash(32, token))

function split(token: string, type: TokenType): { bytes: Uint8Array; signature: Uint8Array; proof: Uint8Array | undefined } {
  if (token.length > tokenChars(type)) throw bad(type, `it is over ${tokenChars(type)} characters`)
  const parts = token.split('.')
  if (parts.length !== (provesPossession(type) ? 3 : 2)) throw bad(type, 'it has the wrong number of parts')
  try {
    const [bytes, signature, proof] = parts.map((part) => fromB64u(part))
    return { bytes: bytes as Uint8Array, signature: signature as Uint8Array, proof }
  } catch {
    throw bad(type, 'it is not canonical base64url')
  }
}

function parsePayload<T extends TokenType>(bytes: Uint8Array, type: T): Payload<T> {
  let json: unknown
  let depth: number
  try {
    const text = decodeText(bytes)
    depth = nesting(text)
    json = depth > depthMax ? undefined : JSON.parse(text)
  } catch {
    throw bad(type, 'its payload is not JSON')
  }
  if (depth > depthMax) throw bad(type, `its payload is nested deeper than ${depthMax}`)
  const result = payloads[type].safeParse(json)
  if (result.success) return result.data as Payload<T>
  const issue = result.error.issues[0]
  throw bad(type, `${issue?.path.join('.') || 'payload'}: ${issue?.message ?? 'wrong form'}`)
}

const bad = (type: TokenType, why: string) => new MeshError('bad_token', `the ${type} token is refused: ${why}`)
