import type { Command } from 'commander'

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
      options: help.visibleOptions(command).map((option) => ({
        long: option.long ?? '',
        short: option.short,
        summary: option.description,
        takesValue: option.required || option.optional,
        values: option.argChoices ?? [],
      })),
      values: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
    }))
}

/** The flags of a command as they are typed. */
export function flagsOf(command: Completable): string[] {
  return command.options.flatMap((option) => [option.long, ...(option.short === undefined ? [] : [option.short])])
}
