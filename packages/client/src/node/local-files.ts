import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import type { Files } from '../features/files.ts'
import type { FileSource, Progress, RemoteFile } from '../files/types.ts'
import { saveFile } from './save.ts'
import { openSource } from './source.ts'

export interface LocalFilesOptions {
  /** Where relative paths begin, and where a model may save. */
  readonly cwd: string
  readonly home: string
  /** Folders of this program with keys in them. */
  readonly own: readonly string[]
  /** Where a model may save. Default: below the working folder, and below the system's for temporary files. */
  readonly roots?: readonly string[]
}

/** The files of this machine as a session may share and save them. */
export class LocalFiles {
  readonly #o: LocalFilesOptions

  constructor(options: LocalFilesOptions) {
    this.#o = options
  }

  /** Opens a file for sharing. Only a person may `force` what looks like a secret. Throws `file_refused` or `not_found`. */
  open(path: string, { force = false } = {}): Promise<FileSource> {
    return openSource(resolve(this.#o.cwd, path), { ...this.#o, force })
  }

  /** Saves a file where a model may; a person names any folder with `anywhere`. */
  save(
    files: Files,
    file: RemoteFile,
    saveTo: string,
    options: { overwrite?: boolean | undefined; anywhere?: boolean; progress?: Progress } = {},
  ): Promise<string> {
    const { overwrite, progress, anywhere = false } = options
    return saveFile(files, file, saveTo, { cwd: this.#o.cwd, roots: anywhere ? undefined : (this.#o.roots ?? [this.#o.cwd, tmpdir()]), overwrite, progress })
  }
}
