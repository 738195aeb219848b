import { readText } from '../claude/files.ts'
import { readObject } from '../claude/json-edit.ts'
import { claudePlaces } from '../claude/places.ts'
import { registered } from '../claude/registration.ts'
import type { Context } from '../context.ts'
import { fail, pass, warn, type Check } from './check.ts'

const names = { server: 'MCP server', hooks: 'hooks', file: 'guide' } as const

/** Whether plain starts of Claude Code know the mesh, by this version, and whether hooks may fire at all. */
export function checkRegistration(context: Context): Check[] {
  try {
    return [hooksAllowed(context), ...states(context)]
  } catch (error) {
    return [fail('install', (error as Error).message.replace(/; nothing was changed.*/, ''), 'mend that file; Claude Code reads it, too')]
  }
}

function states(context: Context): Check[] {
  const found = registered(context)
  if (found.every((one) => one.state === 'absent')) return [pass('install', 'not installed for plain claude starts; launch brings its own')]
  return found.map(({ path, kind, state }) => {
    if (state === 'current') return pass(`install ${names[kind]}`, path)
    const says = state === 'absent' ? `missing in ${path}` : `${path} holds that of another version or place`
    return warn(`install ${names[kind]}`, says, 'run: claudemesh install')
  })
}

function hooksAllowed({ env }: Context): Check {
  const { settings } = claudePlaces(env)
  const text = readText(settings)
  if (text === undefined || readObject(settings, text)['disableAllHooks'] !== true) return pass('hooks', 'are allowed')
  return fail('hooks', `all are disabled in ${settings}: peers see no true status, and messages may wait`, 'remove disableAllHooks there')
}
