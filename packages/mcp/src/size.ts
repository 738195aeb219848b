const units = ['bytes', 'KB', 'MB', 'GB'] as const

/** A size for people: `0 bytes`, `9.8 KB`, `1.0 GB`. */
export function sizeOf(bytes: number): string {
  let size = bytes
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return unit === 0 ? `${size} bytes` : `${size.toFixed(1)} ${units[unit]}`
}
