// `pnpm mutate`: takes each refusal out of a copy of src, one at a time; the tests must notice every time.
import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { mutantsOf, type Mutant } from './mutants.ts'

const repository = join(import.meta.dirname, '../..')
const sources = join(import.meta.dirname, 'src')
// Slow, and about libsodium or bundling rather than about our refusals.
const leftOut = ['wycheproof', 'browser', 'properties']
const patience = 120_000
// Tried first, because they are the ones that should notice; all the others only when they do not.
const direct: Record<string, string> = {
  'base64.ts': 'base64',
  'chain.ts': 'chain',
  'chain-steps.ts': 'chain',
  'byte-queue.ts': 'files',
  'chunk-cipher.ts': 'files',
  'counters.ts': 'sessions',
  'files.ts': 'files',
  'hello.ts': 'hello',
  'inner.ts': 'open',
  'invite-link.ts': 'invite-link',
  'issue.ts': 'presence',
  'keybox.ts': 'mesh-keys',
  'message-id.ts': 'keys',
  'open.ts': 'open',
  'padding.ts': 'padding',
  'pair-keys.ts': 'sessions',
  'payloads.ts': 'tokens',
  'policy.ts': 'policy',
  'presence.ts': 'presence',
  'aead.ts': 'mesh-keys',
  'random.ts': 'mesh-keys',
  'records.ts': 'records',
  'signed-records.ts': 'records',
  'replay-windows.ts': 'sessions',
  'seal.ts': 'seal',
  'sodium.ts': 'tokens',
  'token.ts': 'tokens',
}

/** A copy of crypto and its tests in which one mutant at a time is tried. */
class Bench implements AsyncDisposable {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  static async make(): Promise<Bench> {
    const root = await mkdtemp(join(tmpdir(), 'claudemesh-mutate-'))
    const modules = join(repository, 'node_modules')
    await mkdir(join(root, 'node_modules/@claudemesh'), { recursive: true })
    for (const name of await readdir(modules))
      if (name !== '@claudemesh' && !name.startsWith('.')) await symlink(join(modules, name), join(root, 'node_modules', name))
    await symlink(join(repository, 'packages/protocol'), join(root, 'node_modules/@claudemesh/protocol'))
    await symlink(join(root, 'packages/crypto'), join(root, 'node_modules/@claudemesh/crypto'))
    for (const folder of ['packages/crypto/src', 'packages/crypto/generate', 'packages/crypto/vectors', 'test/crypto'])
      await cp(join(repository, folder), join(root, folder), { recursive: true })
    const needed = ['packages/crypto/generate-vectors.ts', 'packages/client/src/node/chunk-cipher.ts', 'test/harness/verifies.ts']
    for (const file of ['package.json', 'packages/crypto/package.json', ...needed]) await cp(join(repository, file), join(root, file))
    await symlink(join(import.meta.dirname, 'node_modules'), join(root, 'packages/crypto/node_modules'))
    return new Bench(root)
  }

  async survives(mutant: Mutant): Promise<boolean> {
    const path = join(this.#root, 'packages/crypto/src', mutant.file)
    const original = await readFile(path, 'utf8')
    await writeFile(path, mutant.source)
    const first = direct[mutant.file]
    const passed = (first === undefined || (await this.passes(`${first}.test.ts`))) && (await this.passes())
    await writeFile(path, original)
    return passed
  }

  /** Whether the tests, or those of one file, pass on the copy as it stands; a run without end does not. */
  passes(file?: string): Promise<boolean> {
    const vitest = join(repository, 'node_modules/vitest/vitest.mjs')
    const options = [
      '--root',
      this.#root,
      '--dir',
      join(this.#root, 'test/crypto'),
      '--bail',
      '1',
      '--no-isolate',
      '--maxWorkers',
      '1',
      '--testTimeout',
      '60000',
      '--reporter',
      'dot',
    ]
    const child = spawn(
      process.execPath,
      [
        vitest,
        'run',
        ...(file === undefined ? [] : [join(this.#root, 'test/crypto', file)]),
        ...options,
        ...leftOut.flatMap((name) => ['--exclude', `**/${name}.test.ts`]),
      ],
      {
        cwd: this.#root,
        stdio: 'ignore',
        timeout: patience,
        killSignal: 'SIGKILL',
      },
    )
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => resolve(code === 0))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#root, { recursive: true, force: true })
  }
}

async function allMutants(): Promise<Mutant[]> {
  const files = (await readdir(sources)).filter((file) => file.endsWith('.ts') && file !== 'index.ts').toSorted()
  const mutants = await Promise.all(files.map(async (file) => mutantsOf(file, await readFile(join(sources, file), 'utf8'))))
  return mutants.flat()
}

/** Tries mutants off the shared list until it is empty. */
async function work(waiting: Mutant[], survivors: Mutant[]): Promise<void> {
  await using bench = await Bench.make()
  if (!(await bench.passes())) {
    waiting.splice(0)
    throw new Error('the tests fail without any mutant; mend them first')
  }
  for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
    if (!(await bench.survives(mutant))) continue
    survivors.push(mutant)
    console.log(`survived: ${describe(mutant)}`)
  }
}

const describe = (mutant: Mutant) => `${mutant.file}:${mutant.line} ${mutant.what}: ${mutant.source.split('\n')[mutant.line - 1]?.trim()}`

const only = process.argv.slice(2)
const mutants = (await allMutants()).filter((mutant) => only.length === 0 || only.includes(mutant.file))
if (only.includes('--list')) for (const mutant of await allMutants()) console.log(describe(mutant))
else {
  const survivors: Mutant[] = []
  const waiting = [...mutants]
  // Lets the mutants under way finish and the copies be removed.
  process.once('SIGINT', () => waiting.splice(0))
  const workers = Array.from({ length: Math.min(4, availableParallelism()) }, () => work(waiting, survivors))
  // All of them end before the first failure is told, so that every copy is removed.
  await Promise.allSettled(workers)
  await Promise.all(workers)
  console.log(`${mutants.length} mutants, ${mutants.length - survivors.length} killed`)
  process.exitCode = survivors.length === 0 ? 0 : 1
}
