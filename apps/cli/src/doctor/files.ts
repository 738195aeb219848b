import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../context.ts'
import { readPrivate, requirePrivateFolder } from '../home/private-file.ts'
import { orphanFolders } from '../launch/session-folder.ts'
import { fail, pass, warn, type Check } from './check.ts'

/** Whether what is secret is readable by this user alone. */
export function checkFiles({ home }: Context): Check[] {
  if (!existsSync(home)) return [pass('files', `${home} is not there yet`)]
  const own = ['roots', 'policies', 'sessions', 'members', 'outbox', 'mail'].map((name) => join(home, name)).filter((path) => existsSync(path))
  const inner = own.filter((path) => /(outbox|mail)$/.test(path)).flatMap((path) => readdirSync(path).map((name) => join(path, name)))
  const folders = [home, ...own, ...inner]
  const files = folders
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => !path.endsWith('.log'))
    .filter((path) => lstatSync(path).isFile() || lstatSync(path).isSymbolicLink())
  const faults = [...folders.flatMap((path) => faultOf(() => requirePrivateFolder(path))), ...files.flatMap((path) => faultOf(() => readPrivate(path)))]
  return faults.length === 0 ? [pass('files', `${home} is for you alone`)] : faults
}

/** Folders that sessions left behind when they were killed. */
export function checkOrphans({ home, clock }: Context): Check {
  const orphans = orphanFolders(home, clock.now())
  if (orphans.length === 0) return pass('orphans', 'no folder of a dead session')
  return warn('orphans', `left by dead sessions: ${orphans.join(', ')}`, 'nothing to do: a launch removes them when they are an hour old')
}

function faultOf(look: () => void): Check[] {
  try {
    look()
    return []
  } catch (error) {
    const [says = '', remedy = 'check its owner and mode'] = (error as Error).message.split('; ')
    return [fail('files', says, remedy)]
  }
}
