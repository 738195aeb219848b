import { flagsOf, type Completable } from './model.ts'

/** A completion script for PowerShell 5 or newer. */
export function powershellScript(commands: readonly Completable[]): string {
  const words = commands.map((command) => `    ${quoted(command.name)} = ${list([...command.values, ...flagsOf(command)])}`)
  const values = commands.flatMap(({ name, options }) =>
    options.filter((option) => option.takesValue).map((option) => `    ${quoted(`${name} ${option.long}`)} = ${list(option.values)}`),
  )
  return `Register-ArgumentCompleter -Native -CommandName claudemesh -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $commands = @{
${words.join('\n')}
  }
  $values = @{
${values.join('\n')}
  }
  $typed = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  # What follows is Claude Code's.
  if ($typed -contains '--') { return }
  $command = @($typed | Select-Object -Skip 1 | Where-Object { -not $_.StartsWith('-') })[0]
  if (-not $command) { $words = $commands.Keys }
  elseif ($values.ContainsKey("$command $($typed[-1])")) { $words = $values["$command $($typed[-1])"] }
  else { $words = $commands[$command] }
  $words | Where-Object { $_ -like "$wordToComplete*" } | Sort-Object | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
}
`
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
const list = (words: readonly string[]) => `@(${words.map(quoted).join(', ')})`
