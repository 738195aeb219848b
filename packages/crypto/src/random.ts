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
