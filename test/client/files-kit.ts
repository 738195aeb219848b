import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Transfer } from '@claudemesh/client'
import { LocalFiles, nodeTransfer } from '@claudemesh/client/node'
import { openBlob } from '@claudemesh/drivers'
import { testMesh, type TestMesh } from '../harness/mesh.ts'

/** A mesh whose broker keeps files in a folder, and a folder to work in. */
export interface FileWorld extends AsyncDisposable {
  readonly mesh: TestMesh
  /** Where the broker keeps the objects. */
  readonly store: string
  /** The working folder of every session. */
  readonly cwd: string
  readonly home: string
  readonly local: LocalFiles
  /** Writes a file to the working folder; gives its path. */
  put(name: string, content: Uint8Array | string): string
}

export async function fileWorld(options: Parameters<typeof testMesh>[0] = {}): Promise<FileWorld> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'claudemesh-files-')))
  const folder = (name: string) => mkdtempSync(join(root, name))
  const [store, cwd, home] = [folder('store-'), folder('cwd-'), folder('home-')]
  const blob = await openBlob(`file:${store}`)
  const mesh = await testMesh({ blob, ...options })
  return {
    mesh,
    store,
    cwd,
    home,
    local: new LocalFiles({ cwd, home, own: [join(home, '.claudemesh')] }),
    put: (name, content) => {
      const path = join(cwd, name)
      writeFileSync(path, content)
      return path
    },
    [Symbol.asyncDispose]: async () => {
      await mesh[Symbol.asyncDispose]()
      await blob[Symbol.asyncDispose]()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

export const bytes = (size: number): Buffer => randomBytes(size)
export const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

/** The real transfer, but what it carries passes through these on the way. */
export function tampered(o: { up?: Change; down?: Change }): Transfer {
  return {
    ...nodeTransfer,
    put: (url, headers, size, body) => nodeTransfer.put(url, headers, size, o.up ? o.up(body, url) : body),
    get: async (url, headers) => {
      const answer = await nodeTransfer.get(url, headers)
      return o.down ? { ...answer, body: o.down(answer.body, url) } : answer
    },
  }
}

type Change = (body: AsyncIterable<Uint8Array>, url: string) => AsyncIterable<Uint8Array>
