import { createHash, timingSafeEqual } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { counters, figures, histograms, type Figures, type Meter, type MetricsPage } from '@claudemesh/broker'

const prefix = 'claudemesh_'

export interface Metrics {
  readonly meter: Meter
  readonly page: MetricsPage
}

/** Prometheus metrics of one broker in this process. With a token, whoever reads them has to bear it. */
export function prometheus(figuresNow: () => Figures, token: string | undefined): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix })
  gauges(registry, figuresNow)
  const counting = made(
    counters,
    (name, { doc, label }) => new Counter({ name: `${prefix}${name}_total`, help: doc, labelNames: [label], registers: [registry] }),
  )
  const observing = made(
    histograms,
    (name, { doc, buckets, ...row }) =>
      new Histogram({ name: `${prefix}${name}`, help: doc, buckets: [...buckets], labelNames: 'label' in row ? [row.label] : [], registers: [registry] }),
  )
  return {
    meter: {
      count: (name, label, n = 1) => counting[name].inc({ [counters[name].label]: label }, n),
      observe: (name, value, label) => {
        const row = histograms[name]
        if ('label' in row && label !== undefined) observing[name].observe({ [row.label]: label }, value)
        else observing[name].observe(value)
      },
    },
    page: async (authorization) => {
      if (token !== undefined && !same(authorization ?? '', `Bearer ${token}`)) return undefined
      return { type: registry.contentType, text: await registry.metrics() }
    },
  }
}

/** The longest delay of this process's event loop since the last call, in milliseconds. */
export function eventLoopLag(): () => number {
  const delays = monitorEventLoopDelay({ resolution: 10 })
  delays.enable()
  return () => {
    const longest = delays.max / 1e6
    delays.reset()
    return longest
  }
}

// All of them are read at once, with the first one.
function gauges(registry: Registry, figuresNow: () => Figures): void {
  const names = Object.keys(figures) as (keyof Figures)[]
  const all = names.map((name) => new Gauge({ name: `${prefix}${name}`, help: figures[name], registers: [registry] }))
  const [first] = all
  if (!first) return
  Object.assign(first, {
    collect: () => {
      const now = figuresNow()
      for (const [i, name] of names.entries()) all[i]?.set(now[name])
    },
  })
}

function made<T extends Record<string, unknown>, M>(table: T, make: (name: string, row: T[keyof T]) => M): Record<keyof T, M> {
  return Object.fromEntries(Object.entries(table).map(([name, row]) => [name, make(name, row as T[keyof T])])) as Record<keyof T, M>
}

const digest = (text: string) => createHash('sha256').update(text).digest()
const same = (a: string, b: string) => timingSafeEqual(digest(a), digest(b))
