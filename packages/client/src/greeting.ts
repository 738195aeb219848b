import { toB64u, type Greeting, type Random } from '@claudemesh/crypto'
import { MeshError, check, contract, fromErrorFrame, parseJson, times, type Clock, type Request } from '@claudemesh/protocol'
import type { Dial } from './dial.ts'

export interface GreetingOptions {
  readonly url: string
  readonly dial: Dial
  readonly clock: Clock
  readonly random: Random
}

/** What a greeting signs, without mesh and keys. */
export type Transcript = Omit<Greeting, 'mesh'>

/** The broker's address as signed greetings name it: as dialled, without path. */
export function audienceOf(url: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}

/** One connection, one request that the broker answers before any hello. Throws its error, or `unavailable`. */
export function greet(o: GreetingOptions, request: Request, input: (transcript: Transcript) => Record<string, unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const finish = (outcome: () => void) => {
      cancel()
      outcome()
      wire.close(1000, '')
    }
    const fail = (error: unknown) => finish(() => reject(error))
    const take = (data: string) => {
      const json = parseJson(data)
      if (json.type === 'challenge') {
        const { nonce } = check(json.type, contract.session.challenge.body, json)
        const transcript = { aud: audienceOf(o.url), nonce, clientNonce: toB64u(o.random(16)), timestamp: o.clock.now() }
        const { nonce: _, ...sent } = transcript
        wire.send(JSON.stringify({ type: request.type, v: 1, ...input(transcript), ...sent, id: 'greeting' }))
      } else if (json.type === 'error') fail(fromErrorFrame(json))
      else if (json.type === request.reply) {
        const output = check(json.type, request.output, json)
        finish(() => resolve(output))
      }
    }
    const cancel = o.clock.after(times.helloDeadline, () => fail(new MeshError('timeout', 'the broker did not answer in time')))
    const wire = o.dial(o.url, {
      open: () => {},
      ping: () => {},
      text: (data) => {
        try {
          take(data)
        } catch (error) {
          fail(error)
        }
      },
      close: (_code, error) => fail(new MeshError('unavailable', `the broker cannot be reached: ${error ?? 'it closed the connection'}`)),
    })
  })
}
