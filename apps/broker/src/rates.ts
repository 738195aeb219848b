import { defaultRates, kinds, type Rate, type Rates } from '@claudemesh/broker'
import { ConfigError } from './config-error.ts'

const form = '{"session":{"messages":{"perSecond":50,"burst":500}}}'

/** RATES: `off`, or JSON with the rates that differ from the defaults. Throws ConfigError. */
export function ratesFrom(text: string | undefined): Rates | false | undefined {
  if (text === undefined || text.trim() === '') return undefined
  if (text.trim() === 'off') return false
  const given = objectOf('RATES', parsed(text))
  const scopes: Record<string, readonly string[]> = { session: kinds, member: kinds, mesh: kinds, address: ['greetings'] }
  const rates = structuredClone(defaultRates) as unknown as Record<string, Record<string, Rate>>
  for (const [scope, changes] of Object.entries(given)) {
    for (const [kind, rate] of Object.entries(objectOf(`RATES.${scope}`, changes))) {
      if (scopes[scope]?.includes(kind) !== true) throw new ConfigError(`RATES: there is no rate ${scope}.${kind}`)
      Object.assign(rates[scope] ?? {}, { [kind]: rateOf(`RATES.${scope}.${kind}`, rate) })
    }
  }
  return rates as unknown as Rates
}

function rateOf(name: string, value: unknown): Rate {
  const { perSecond, burst, ...more } = objectOf(name, value)
  const right = [perSecond, burst].every((n) => typeof n === 'number' && Number.isFinite(n) && n > 0)
  if (!right || Object.keys(more).length > 0) throw new ConfigError(`${name} must be like {"perSecond":50,"burst":500}, both above 0`)
  return { perSecond: perSecond as number, burst: burst as number }
}

function objectOf(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new ConfigError(`${name} must be off or like ${form}`)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ConfigError(`RATES must be off or like ${form}`, { cause })
  }
}
