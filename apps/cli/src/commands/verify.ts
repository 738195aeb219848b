import { meshWords, pairWords } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { saveVerified } from '../home/verified.ts'
import { askLine } from '../launch/ask.ts'
import type { Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { findMember, labelOf } from '../session/find-member.ts'
import { identityOf } from '../session/identity.ts'

/** Words to compare with somebody by voice: of the mesh, or of oneself and another member, who is kept as verified when they are the same. */
export async function verify(context: Context, who: string | undefined, flags: { mesh?: string; yes?: boolean }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const { mesh, root, member } = await identityOf(entry)
  if (who === undefined) {
    const words = meshWords(root)
    return { json: { mesh: entry.slug, words }, text: [shown(words), `the words of ${entry.slug}: whoever is in the same mesh sees the same`] }
  }
  const other = await withMesh(context, entry, { name: entry.name, groups: [] }, (session) => findMember(session, who, { sessions: true }))
  const words = pairWords(root, member.publicKey, other.key)
  const label = labelOf(other)
  const same = flags.yes === true || (await asked(context, words, label))
  if (same) await saveVerified(context.home, mesh, other.key, { name: other.name, at: context.clock.now() })
  const outcome = same
    ? `${label} is verified: peers shows it with ✓`
    : `read these words with ${label}; then: claudemesh verify --yes ${JSON.stringify(other.name)}`
  return { json: { mesh: entry.slug, member: { id: other.id, key: other.key, name: other.name }, words, verified: same }, text: [shown(words), outcome] }
}

const shown = (words: readonly string[]) => `${words.slice(0, 4).join(' ')}\n${words.slice(4).join(' ')}`

/** Asks on a terminal; a word that is not a clear yes leaves the member unverified. */
async function asked(context: Context, words: readonly string[], label: string): Promise<boolean> {
  if (context.stdin.isTTY !== true) return false
  context.stdout.write(`${shown(words)}\n`)
  return /^y(es)?$/i.test(await askLine(context, `Does ${label} read the same words to you? [y/N]`, { check: () => {} }))
}
