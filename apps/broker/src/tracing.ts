import { randomBytes } from 'node:crypto'
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Link,
  type Span as ApiSpan,
  type SpanContext,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { AlwaysOnSampler, BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { factNames, type Facts, type Span, type Tracer } from '@claudemesh/broker'
import type { Config } from './config.ts'

/** Traces of one broker in this process; disposing of it sends what waits. */
export interface Tracing extends AsyncDisposable {
  readonly tracer: Tracer
}

interface About {
  /** What this broker calls itself among others. */
  readonly node: string | undefined
  readonly version: string | undefined
}

/** Sends this share of the traces to a collector, over OTLP/HTTP. What it does not take is lost; nobody waits for it. */
export function openTracing({ url, share, service }: NonNullable<Config['traces']>, { node, version }: About): Tracing {
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': service,
        'service.instance.id': node ?? randomBytes(9).toString('base64url'),
        ...(version === undefined ? {} : { 'service.version': version }),
      }),
    ),
    sampler: new AlwaysOnSampler(),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url, timeoutMillis: patience }), maxQueueSize: 8192 })],
  })
  const source = provider.getTracer('claudemesh')
  return {
    tracer: {
      begin: (name, facts, ...causes) => {
        const [parent, ...others] = causes.flatMap((cause) => contextOf(cause) ?? [])
        // Decided here, so that what nobody wants to know of costs next to nothing.
        if (!parent && (causes.length > 0 || Math.random() >= share)) return undefined
        const options = {
          kind: kindOf(causes.find((cause) => cause !== undefined)),
          attributes: attributesOf(facts),
          links: others.map((context): Link => ({ context })),
        }
        return new Begun(source.startSpan(name, options, within(parent)))
      },
    },
    [Symbol.asyncDispose]: async () => {
      // A collector that is away must not keep the broker from ending well.
      await provider.shutdown().catch(() => {})
    },
  }
}

// For a collector, at the end of the broker too.
const patience = 2_000

class Begun implements Span {
  readonly #span: ApiSpan

  constructor(span: ApiSpan) {
    this.#span = span
  }

  get context(): SpanContext {
    return this.#span.spanContext()
  }

  get trace(): string {
    const { traceId, spanId, traceFlags } = this.context
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  }

  end(facts?: Facts): void {
    this.#span.setAttributes(attributesOf(facts))
    if (facts?.code !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end()
  }
}

function contextOf(cause: Span | string | undefined): SpanContext | undefined {
  if (cause instanceof Begun) return cause.context
  const parts = typeof cause === 'string' ? /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(cause) : undefined
  if (!parts) return undefined
  const [, traceId = '', spanId = '', flags = ''] = parts
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true }
}

// Who asks from outside is served; what another node handed over is consumed.
const kindOf = (cause: Span | string | undefined): SpanKind =>
  cause === undefined ? SpanKind.SERVER : typeof cause === 'string' ? SpanKind.CONSUMER : SpanKind.INTERNAL

const within = (parent: SpanContext | undefined): Context => (parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT)

/** What is not listed is left out, whoever tells it. */
function attributesOf(facts: Facts = {}): Attributes {
  const attributes: Attributes = {}
  for (const name of factNames) if (facts[name] !== undefined) attributes[`claudemesh.${name}`] = facts[name]
  return attributes
}
