import type { Duplex } from 'node:stream'
import { limits, MeshError } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'

// A hello with its frame header, and no more, may be read before anything is proven.
const greetingBytes = limits.frameBeforeHello + 64

/** Counts what comes before anything is proven, and tells once when that is too much. */
export function limitGreeting(socket: Duplex, isGreeting: () => boolean, refuse: (error: MeshError) => void): void {
  let bytes = 0
  const count = (chunk: Buffer) => {
    bytes += chunk.length
    if (!isGreeting()) socket.off('data', count)
    else if (bytes > greetingBytes) {
      socket.off('data', count)
      refuse(new MeshError('too_large', `over ${limits.frameBeforeHello} bytes before hello`))
    }
  }
  socket.prependListener('data', count)
}

/** Counts a greeting of this address; the error when it greets too often. */
export function tooManyGreetings({ limiter, clock }: Kernel, address: string): MeshError | undefined {
  try {
    limiter.greet(address, clock.now())
    return undefined
  } catch (error) {
    if (error instanceof MeshError) return error
    throw error
  }
}
