/** Opens things one after another with `keep`; disposing of the result closes them in reverse, and so does a failure on the way. */
export async function inTurn<T extends object>(open: (keep: <O extends AsyncDisposable>(one: O) => O) => Promise<T>): Promise<T & AsyncDisposable> {
  const kept: AsyncDisposable[] = []
  const close = async () => {
    for (const one of kept.splice(0).toReversed()) await one[Symbol.asyncDispose]()
  }
  try {
    const opened = await open((one) => {
      kept.push(one)
      return one
    })
    return { ...opened, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}
