/** Everything that is counted while it happens. Labels are names of tables in the code, never what a client sent. */
export const counters = {
  messages: { doc: 'Messages by the rung they reached.', label: 'rung' },
  refusals: { doc: 'Requests and connections refused, by the code of the error.', label: 'code' },
  drops: { doc: 'Pushes not made, by reason: left to the durable queue, or volatile and dropped.', label: 'reason' },
  greetings: { doc: 'Greetings that succeeded, by type.', label: 'type' },
  swept: { doc: 'Rows that the sweep removed or failed, by kind.', label: 'kind' },
  bus_batches: { doc: 'Batches exchanged with other brokers, by direction.', label: 'direction' },
  bus_gaps: { doc: 'Numbers missing in what other brokers published: by who hears it, the nodes of a mesh or one node.', label: 'hearer' },
  told_late: { doc: 'Changes that the bus lost and the store told, by kind.', label: 'kind' },
  blob_bytes: { doc: 'Bytes of files moved, by direction.', label: 'direction' },
} as const

const quick = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Everything that is measured while it happens; some by a label. */
export const histograms = {
  fan_out: { doc: 'Recipients of a message.', buckets: [1, 2, 5, 10, 50, 100, 500, 1000, 2048] },
  ack_seconds: { doc: 'From a stored message’s arrival to its ack.', buckets: quick },
  request_seconds: { doc: 'From a request that asks the store to its answer.', buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] },
  batch_entries: { doc: 'Messages of one commit.', buckets: [1, 4, 16, 64, 128, 256, 512] },
  batch_seconds: { doc: 'What one commit of messages took.', buckets: quick },
  store_seconds: { doc: 'What the store took to answer, by what was asked of it.', label: 'kind', buckets: quick },
  bus_seconds: { doc: 'What the bus took to bring this broker its own beat.', buckets: quick },
} as const

/** What a broker tells about itself when asked. */
export const figures = {
  sessions: 'Sessions connected to this broker.',
  greeting: 'Connections that have not said hello.',
  meshes: 'Meshes in memory.',
  presences: 'Live sessions of those meshes, here and on other brokers.',
  queued_messages: 'Messages waiting for sessions of those meshes.',
  queued_bytes: 'Bytes waiting for sessions of those meshes.',
  writer_entries: 'Messages waiting for their commit.',
  writer_bytes: 'Bytes waiting for their commit.',
  writer_age_seconds: 'How long the oldest of them has waited.',
  stored_messages: 'Messages waiting in the whole store for any session or member, as last counted: about once a minute.',
  stored_age_seconds: 'How long the oldest of those that nobody received has waited, unless it went since.',
  blob_stored_bytes: 'Bytes of finished files in the whole store, as last counted.',
  outbox_bytes: 'Bytes that connected peers have not taken yet.',
  admitted_share: 'Share of new messages that is admitted; 1 unless the broker is overloaded.',
  bus_up: 'Whether the bus stands; 1 without one.',
  bus_doubts: 'How often something may have been lost between brokers.',
} as const

export type Figures = Readonly<Record<keyof typeof figures, number>>

/** Takes what happens. Must be cheap: it is called for every message. */
export interface Meter {
  count(name: keyof typeof counters, label: string, n?: number): void
  observe(name: keyof typeof histograms, value: number, label?: string): void
}

export const noMeter: Meter = { count: () => {}, observe: () => {} }
