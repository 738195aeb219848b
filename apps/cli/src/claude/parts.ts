import { hookTool } from '@claudemesh/mcp'
import { forgottenHook, hooksFor, type CardCommand } from '../launch/plugin.ts'
import { JsonText, isObject, readObject, unsafe, type JsonObject } from './json-edit.ts'

/** The name under which Claude Code knows the server. */
const serverName = 'claudemesh'

/** What is ours in one of Claude Code's files: pure functions from text to text. Both throw `bad_settings` where the file cannot be edited safely. */
export interface Part {
  /** The file's text with ours in it. */
  add(path: string, text: string | undefined): string
  /** The text without ours, as `before` had it there; undefined where nothing remains of a file that was not there before. */
  remove(path: string, text: string, before: string | undefined): string | undefined
}

/** Our server in the user scope. */
export function serverPart(server: object): Part {
  const at = ['mcpServers', serverName]
  return jsonPart(
    'mcpServers',
    (json) => json.set(at, server),
    (json, old) => {
      const ours = isOurServer(sectionOf(json.value, 'mcpServers')[serverName])
      if (ours) json.set(at, sectionOf(old, 'mcpServers')[serverName])
      return ours
    },
  )
}

/** The hooks that call our server, and the one that prints the session's card. */
export function hooksPart(card: CardCommand): Part {
  return jsonPart('hooks', (json, path) => addHooks(json, path, card), removeHooks)
}

/** A file that is all ours. What somebody made of it is theirs. */
export function wholePart(text: string): Part {
  return { add: () => text, remove: (_path, current) => (current === text ? undefined : current) }
}

function addHooks(json: JsonText, path: string, card: CardCommand): void {
  removeHooks(json, {})
  for (const [event, entries] of Object.entries({ ...hooksFor(serverName), SessionStart: [forgottenHook(card)] })) {
    const there = sectionOf(json.value, 'hooks')[event]
    if (there !== undefined && !Array.isArray(there)) throw unsafe(path, `hooks.${event} is no list`)
    json.set(['hooks', event], [...((there as unknown[] | undefined) ?? []), ...entries])
  }
}

function removeHooks(json: JsonText, old: JsonObject): boolean {
  let removed = false
  for (const [event, entries] of Object.entries(sectionOf(json.value, 'hooks'))) {
    const others = Array.isArray(entries) ? entries.filter((entry) => !isOurs(entry)) : entries
    if (!Array.isArray(entries) || !Array.isArray(others) || others.length === entries.length) continue
    removed = true
    json.set(['hooks', event], others.length === 0 && sectionOf(old, 'hooks')[event] === undefined ? undefined : others)
  }
  return removed
}

function isOurServer(entry: unknown): boolean {
  return isObject(entry) && Array.isArray(entry['args']) && entry['args'].at(-1) === 'mcp'
}

function isOurs(entry: unknown): boolean {
  const hooks: unknown = isObject(entry) ? entry['hooks'] : undefined
  return Array.isArray(hooks) && hooks.length > 0 && hooks.every((hook) => isObject(hook) && (callsOurServer(hook) || printsOurCard(hook)))
}

const callsOurServer = (hook: JsonObject) => hook['server'] === serverName && hook['tool'] === hookTool

/** `… main.js card`, with or without the home folder. */
function printsOurCard({ type, args }: JsonObject): boolean {
  const words = Array.isArray(args) ? args : []
  return type === 'command' && /\bmain\.[jt]s$/.test(String(words[0])) && words[1] === 'card'
}

function jsonPart(section: string, add: (json: JsonText, path: string) => void, remove: (json: JsonText, old: JsonObject) => boolean): Part {
  return {
    add: (path, text) => {
      const json = new JsonText(path, text ?? '{}\n')
      if (json.value[section] !== undefined && !isObject(json.value[section])) throw unsafe(path, `${section} is no object`)
      add(json, path)
      return json.text
    },
    remove: (path, text, before) => {
      const json = new JsonText(path, text)
      const old = before === undefined ? {} : readObject(path, before)
      if (!remove(json, old)) return text
      const left = json.value[section]
      if (old[section] === undefined && isObject(left) && Object.keys(left).length === 0) json.set([section], undefined)
      return before === undefined && Object.keys(json.value).length === 0 ? undefined : json.text
    },
  }
}

function sectionOf(root: JsonObject, section: string): JsonObject {
  const value = root[section]
  return isObject(value) ? value : {}
}
