import type { FileSource, SendOptions } from '@claudemesh/client'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { progressBar } from './progress.ts'
import { localFilesOf } from './connect.ts'

/** The files a person attaches, open until the end of the scope. */
export async function sources(
  context: Context,
  output: Output,
  paths: readonly string[],
): Promise<AsyncDisposable & { readonly attached: Pick<SendOptions, 'files' | 'progress'> }> {
  const stack = new AsyncDisposableStack()
  const files: FileSource[] = []
  for (const path of paths) files.push(stack.use(await localFilesOf(context).open(path)))
  return { attached: files.length === 0 ? {} : { files, progress: progressBar(context, output) }, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}
