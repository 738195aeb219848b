/** Resolves at the first Ctrl-C, SIGTERM or hang-up; a second one ends the process the hard way. */
export function untilStopped(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const alive = setInterval(() => {}, 1 << 30)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        clearInterval(alive)
        resolve(signal)
      })
    }
  })
}
