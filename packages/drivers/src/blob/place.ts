import type { BlobKey } from '@claudemesh/broker/ports'

const forms = { mesh: /^[a-z2-7]{32}$/, file: /^f_[a-z2-7]{26}$/, day: /^\d{4}-\d{2}-\d{2}$/ }

/** The bucket or folder of a mesh. Throws on anything but a mesh id, whoever vouched for it. */
export function bucketOf(mesh: string): string {
  return `mesh-${checked('mesh', mesh)}`
}

/** Where an object stands in its bucket: `shared/<file>/object` or `ephemeral/<day>/<file>/object`. Throws on ids of another form. */
export function placeOf(key: BlobKey): string {
  const file = checked('file', key.file)
  return key.area === 'shared' ? `shared/${file}/object` : `ephemeral/${checked('day', key.day)}/${file}/object`
}

/** Whether the day (as 2030-01-31, in UTC) was over at `time`. */
export function dayEnded(day: string, time: number): boolean {
  return Date.parse(`${day}T00:00:00Z`) + 24 * 3_600_000 <= time
}

function checked(part: keyof typeof forms, text: string): string {
  if (!forms[part].test(text)) throw new TypeError(`not the form of a ${part} in a blob key`)
  return text
}
