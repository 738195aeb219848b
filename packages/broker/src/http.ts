import type { IncomingMessage, ServerResponse } from 'node:http'
import { asc, eq } from 'drizzle-orm'
import { contractVersion, type FileId, type InvitePubkey } from '@claudemesh/protocol'
import { answerFile } from './http/file.ts'
import { reply, replyError } from './http/reply.ts'
import type { Kernel, MetricsPage } from './kernel.ts'
import { keyboxesForInvite } from './keyboxes.ts'
import { readiness } from './readiness.ts'
import * as tables from './tables.ts'

/** Answers the HTTP requests beside the WebSocket: health, metrics, invites and the bytes of files. */
export async function answerHttp(kernel: Kernel, request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? ''
  const invite = /^\/v1\/invite\/([A-Za-z0-9_-]{43})$/.exec(path)?.[1]
  // What machines ask all the time is nobody's work.
  const route = /^\/v1\/(?:invite|file)(?=\/)/.exec(path)?.[0]
  const span = route === undefined ? undefined : kernel.tracer?.begin(`${request.method ?? ''} ${route}`)
  const file = /^\/v1\/file\/(f_[a-z2-7]{26})$/.exec(path)?.[1]
  try {
    if (file !== undefined) await answerFile(kernel, request, response, { id: file as FileId, address, span })
    else if (request.method !== 'GET' && request.method !== 'HEAD') reply(response, 405, { code: 'method_not_allowed' })
    else if (path === '/healthz')
      reply(response, 200, { ok: true, protocol: contractVersion, ...(kernel.version === undefined ? {} : { version: kernel.version }) })
    else if (path === '/readyz') await replyReady(kernel, response)
    else if (path === '/metrics' && kernel.metrics) await replyMetrics(kernel.metrics, request, response)
    else if (invite !== undefined) await replyInvite(kernel, response, invite as InvitePubkey, address)
    else reply(response, 404, { code: 'not_found' })
  } catch (error) {
    replyError(kernel, response, error)
  } finally {
    span?.end({ status: response.statusCode })
  }
}

async function replyReady(kernel: Kernel, response: ServerResponse): Promise<void> {
  const checks = await readiness(kernel)
  const ready = Object.values(checks).every((word) => word === 'ok')
  reply(response, ready ? 200 : 503, { ready, ...checks })
}

async function replyMetrics(metrics: MetricsPage, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const page = await metrics(request.headers.authorization)
  if (!page) return reply(response, 401, { code: 'unauthorized' })
  response.writeHead(200, { 'content-type': page.type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(page.text)
}

async function replyInvite(kernel: Kernel, response: ServerResponse, pubkey: InvitePubkey, address: string): Promise<void> {
  kernel.limiter.greet(address, kernel.clock.now())
  const { invite, mesh } = tables
  const [found] = await kernel.db
    .select({ chain: invite.chain, root: mesh.rootPubkey, slug: mesh.slug, policy: mesh.policy, meshId: mesh.id })
    .from(invite)
    .innerJoin(mesh, eq(mesh.id, invite.meshId))
    .where(eq(invite.pubkey, pubkey))
    .orderBy(asc(invite.createdAt))
    .limit(1)
  if (!found) {
    kernel.limiter.refused(address)
    return reply(response, 404, { code: 'not_found' })
  }
  const { meshId, ...deposit } = found
  reply(response, 200, { ...deposit, keyboxes: await keyboxesForInvite(kernel.db, meshId, pubkey, kernel.clock.now()) })
}
