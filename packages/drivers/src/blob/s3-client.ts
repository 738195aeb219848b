import http from 'node:http'
import https from 'node:https'
import { Client, S3Error } from 'minio'
import { MeshError } from '@claudemesh/protocol'

/** A part of an upload under way. */
export interface Part {
  readonly part: number
  readonly etag: string
  readonly size: number
  readonly lastModified: Date
}

/** The vendor's client, with the listing that it keeps to itself. */
export class S3Client extends Client {
  /** What is there of an upload, by part number. */
  async partsOf(bucket: string, object: string, upload: string): Promise<Part[]> {
    const parts = (await this.listParts(bucket, object, upload)) as Part[]
    return parts.sort((one, other) => one.part - other.part)
  }
}

// Nothing moved for this long: the server, or whoever takes the bytes from us, is gone.
const answerWithin = 60_000
const idle = 120_000
// Less than servers keep a connection that nobody uses: asking on one that just closed would fail for nothing.
const unused = 10_000

/** A client for `s3://KEY:SECRET@host:port?tls=false&region=…`, and what ends its connections. Throws on any other form, without repeating it. */
export function connectS3(address: string): { client: S3Client; close: () => void } {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const query = new URLSearchParams(url?.search)
  const [tls, region] = [query.get('tls') ?? 'true', query.get('region') ?? 'us-east-1']
  const unknown = [...query.keys()].some((name) => name !== 'tls' && name !== 'region')
  if (!url?.hostname || !url.username || !url.password || !/^\/?$/.test(url.pathname) || unknown || !['true', 'false'].includes(tls)) {
    throw new Error('file storage on S3 needs an address like s3://KEY:SECRET@host:9000?tls=false&region=us-east-1')
  }
  const useSSL = tls === 'true'
  const agent = new (useSSL ? https : http).Agent({ keepAlive: true, maxSockets: 128, timeout: unused })
  const client = new S3Client({
    endPoint: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    useSSL,
    region,
    accessKey: decodeURIComponent(url.username),
    secretKey: decodeURIComponent(url.password),
    transport: impatient(useSSL ? https : http),
    transportAgent: agent,
    // Whoever uploads or downloads tries again from where it stands; the client's own retries also write to the terminal.
    retryOptions: { disableRetry: true },
  })
  return { client, close: () => agent.destroy() }
}

/** Requests that end when nothing moves, since the client by itself would wait for ever. */
function impatient(transport: typeof http | typeof https): Pick<typeof http, 'request'> {
  const request = (options: https.RequestOptions, answered: (response: http.IncomingMessage) => void) => {
    const asked = transport.request(options, (response) => {
      asked.setTimeout(idle)
      answered(response)
    })
    asked.setTimeout(answerWithin, () => asked.destroy(new Error('nothing moved')))
    return asked
  }
  return { request: request as typeof http.request }
}

const full = new Set(['QuotaExceeded', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'InsufficientStorage', 'EntityTooLarge', 'TooManyBuckets'])
const refused = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'RequestTimeTooSkewed', 'Forbidden'])

/** Runs a task whose failures are the server's, and tells them in the words of the port. What the server said is not repeated: it may hold the access key. */
export async function onS3<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (error instanceof MeshError) throw error
    const code = codeOf(error)
    if (full.has(code)) throw new MeshError('storage_full')
    if (refused.has(code)) throw new MeshError('storage_unavailable', `the broker’s storage refuses its credentials or clock (${code})`)
    const why = code === '' ? '' : ` (${code})`
    throw error instanceof S3Error
      ? new MeshError('storage_unavailable', `the broker’s storage failed${why}`)
      : new MeshError('storage_unavailable', `the broker’s storage does not answer${why}`, { cause: error })
  }
}

/** The same for questions whose answer may be that there is no such thing. */
export async function ifThere<T>(task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task()
  } catch (error) {
    if (['NotFound', 'NoSuchKey', 'NoSuchBucket', 'NoSuchUpload'].includes(codeOf(error))) return undefined
    throw error
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : ''
}
