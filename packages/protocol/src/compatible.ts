/** The part of JSON Schema that the contract uses. */
export interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
}

const lower = ['minLength', 'minItems', 'minimum'] as const
const upper = ['maxLength', 'maxItems', 'maximum'] as const

/** Where `reader` might refuse what fits `writer`: paths with the reason, none when it takes everything. Cautious: another pattern counts as narrower. */
export function narrowerThan(reader: Schema, writer: Schema, path: string): string[] {
  if (writer.anyOf) return writer.anyOf.flatMap((option) => narrowerThan(reader, option, path))
  if (reader.anyOf) {
    const attempts = reader.anyOf.map((option) => narrowerThan(option, writer, path))
    return attempts.find((found) => found.length === 0) ?? [`${path}: fits no alternative`]
  }
  if (reader.type !== writer.type) return [`${path}: ${writer.type} became ${reader.type}`]
  return [...values(reader, writer, path), ...bounds(reader, writer, path), ...inside(reader, writer, path)]
}

function values(reader: Schema, writer: Schema, path: string): string[] {
  const allowed = choices(reader)
  if (allowed && !choices(writer)?.every((v) => allowed.includes(v))) return [`${path}: fewer values`]
  return reader.pattern === undefined || reader.pattern === writer.pattern ? [] : [`${path}: another pattern`]
}

const choices = (schema: Schema) => schema.enum ?? ('const' in schema ? [schema.const] : undefined)

function bounds(reader: Schema, writer: Schema, path: string): string[] {
  return [
    ...lower.filter((key) => (reader[key] ?? -Infinity) > (writer[key] ?? -Infinity)).map((key) => `${path}: higher ${key}`),
    ...upper.filter((key) => (reader[key] ?? Infinity) < (writer[key] ?? Infinity)).map((key) => `${path}: lower ${key}`),
  ]
}

function inside(reader: Schema, writer: Schema, path: string): string[] {
  const items = reader.items ? narrowerThan(reader.items, writer.items ?? {}, `${path}[]`) : []
  const fields = Object.entries(reader.properties ?? {}).flatMap(([name, field]) => {
    const written = writer.properties?.[name]
    if (reader.required?.includes(name) && !writer.required?.includes(name)) return [`${path}.${name}: is required`]
    return written ? narrowerThan(field, written, `${path}.${name}`) : []
  })
  return [...items, ...fields]
}
