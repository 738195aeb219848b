/** A set that is mostly empty, and then takes hardly any room: a connection has several, and there are thousands of connections. */
export class RareSet<T> implements Iterable<T> {
  #set: Set<T> | undefined

  get size(): number {
    return this.#set?.size ?? 0
  }

  has(value: T): boolean {
    return this.#set?.has(value) === true
  }

  add(value: T): void {
    this.#set ??= new Set()
    this.#set.add(value)
  }

  delete(value: T): void {
    this.#set?.delete(value)
    if (this.size === 0) this.#set = undefined
  }

  clear(): void {
    this.#set = undefined
  }

  [Symbol.iterator](): Iterator<T> {
    return (this.#set ?? []).values()
  }
}
