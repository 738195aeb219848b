import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number }
}

/** A span as it came over OTLP/HTTP, with the broker that sent it. */
export interface CollectedSpan {
  readonly node: string
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly status: { readonly code: number }
  readonly facts: Readonly<Record<string, string | number | undefined>>
  readonly links: readonly { readonly spanId: string }[]
}

interface Sent {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly (Omit<CollectedSpan, 'node' | 'facts'> & { readonly attributes: readonly Attribute[] })[] }[]
  }[]
}

/** A collector of traces that takes what OpenTelemetry's exporters send as JSON. */
export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = []
  /** All that came, as it came. */
  raw = ''
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request, response) => void this.#answer(request, response))
  }

  static async start(): Promise<Collector> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Collector(server)
  }

  /** As OTEL_EXPORTER_OTLP_ENDPOINT names it. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  named(name: string): CollectedSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const taken = request.method === 'POST' && request.url === '/v1/traces'
    if (taken) this.#take(body)
    response.writeHead(taken ? 200 : 404, { 'content-type': 'application/json' }).end('{}')
  }

  #take(body: string): void {
    this.raw += body
    for (const { resource, scopeSpans } of (JSON.parse(body) as Sent).resourceSpans) {
      const node = String(factsOf(resource.attributes)['service.instance.id'])
      for (const { spans } of scopeSpans) for (const { attributes, ...span } of spans) this.spans.push({ ...span, node, facts: factsOf(attributes) })
    }
  }
}

function factsOf(attributes: readonly Attribute[]): Record<string, string | number | undefined> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key.replace('claudemesh.', ''), value.stringValue ?? value.intValue]))
}
