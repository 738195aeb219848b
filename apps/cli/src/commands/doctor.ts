import type { Context } from '../context.ts'
import type { Check } from '../doctor/check.ts'
import { checkFiles, checkOrphans } from '../doctor/files.ts'
import { checkMeshes } from '../doctor/meshes.ts'
import { checkClaude, checkNode, checkOwnInstalls } from '../doctor/programs.ts'
import { checkRegistration } from '../doctor/registration.ts'
import { checkSessions } from '../doctor/sessions.ts'
import { columns, plainText, type Output, type Result } from '../output.ts'

const colours = { pass: 'green', warn: 'yellow', fail: 'red' } as const

/** Checks what has ever gone wrong and says how to mend it. Failed when anything fails; warnings are no failure. */
export async function doctor(context: Context, output: Output): Promise<Result & { failed: boolean }> {
  const checks = [
    checkNode(process.versions.node),
    checkOwnInstalls(context),
    ...(await checkClaude(context)),
    ...checkRegistration(context),
    ...checkFiles(context),
    checkOrphans(context),
    ...checkSessions(context),
    ...(await checkMeshes(context)),
  ]
  const count = (level: Check['level']) => checks.filter((check) => check.level === level).length
  const rows = checks.map(({ check, level, says, remedy }) => [output.style(colours[level], level), check, plainText(remedy ? `${says} → ${remedy}` : says)])
  return {
    failed: count('fail') > 0,
    json: { ok: count('fail') === 0, checks },
    text: [...columns(rows), `${count('pass')} pass, ${count('warn')} warn, ${count('fail')} fail`],
  }
}
