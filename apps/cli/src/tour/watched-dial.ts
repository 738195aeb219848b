import type { Dial } from '@claudemesh/client'
import { nodeDial } from '@claudemesh/client/node'

/** A `send` frame as it goes over the wire to the broker: all that it ever learns of a message. */
export interface SentFrame {
  readonly type: 'send'
  readonly targetSpec: string | readonly string[]
  readonly nonce: string
  readonly ciphertext: string
  readonly [field: string]: unknown
}

/** The ordinary dial, with every `send` frame shown to `watch` on its way out. */
export function watchedDial(watch: (frame: SentFrame) => void): Dial {
  return (url, events) => {
    const wire = nodeDial(url, events)
    return {
      ...wire,
      send: (text) => {
        const frame = JSON.parse(text) as { type?: string }
        if (frame.type === 'send') watch(frame as SentFrame)
        wire.send(text)
      },
    }
  }
}
