import type { Command, Help } from 'commander'

/** What may be completed, read from the program itself. */
export interface Completable {
  readonly name: string
  readonly summary: string
  readonly options: readonly CompletableOption[]
  /** What its arguments may be, where that is a fixed list. */
  readonly values: readonly string[]
}

export interface CompletableOption {
  readonly long: string
  readonly short: string | undefined
  readonly summary: string
  readonly takesValue: boolean
  readonly values: readonly string[]
}

/** The visible commands with their visible options. */
export function completables(program: Command): Completable[] {
  const help = program.createHelp()
  return help
    .visibleCommands(program)
    .filter((command) => command.name() !== 'help')
    .map((command) => ({
      name: command.name(),
      summary: command.description(),
      options: optionsOf(command, help),
      values: [...command.commands.map((inner) => inner.name()), ...command.registeredArguments.flatMap((argument) => argument.argChoices ?? [])],
    }))
}

/** Those of a command and of the commands within it, each once. */
function optionsOf(command: Command, help: Help): CompletableOption[] {
  const all = [command, ...command.commands].flatMap((one) => help.visibleOptions(one))
  const byFlag = new Map(all.map((option) => [option.long ?? '', option]))
  return [...byFlag].map(([long, option]) => ({
    long,
    short: option.short,
    summary: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? [],
  }))
}

/** The flags of a command as they are typed. */
export function flagsOf(command: Completable): string[] {
  return command.options.flatMap((option) => [option.long, ...(option.short === undefined ? [] : [option.short])])
}
