/** `n` bytes nobody can predict. Vectors and tests pass their own. */
export type Random = (n: number) => Uint8Array

// getRandomValues refuses more at once.
const chunk = 65_536

/** The platform's cryptographic randomness. */
export const webRandom: Random = (n) => {
  const bytes = new Uint8Array(n)
  for (let i = 0; i < n; i += chunk) globalThis.crypto.getRandomValues(bytes.subarray(i, i + chunk))
  return bytes
}

/** Exactly `n` bytes of a source. Throws RangeError when it gives another number, rather than seal with less. */
export function take(random: Random, n: number): Uint8Array {
  const bytes = random(n)
  if (bytes.length !== n) throw new RangeError(`the random source gave ${bytes.length} bytes for ${n}`)
  return bytes
}
