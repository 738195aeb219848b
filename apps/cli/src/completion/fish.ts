import type { Completable, CompletableOption } from './model.ts'

/** A completion script for fish. */
export function fishScript(commands: readonly Completable[]): string {
  const lines = commands.flatMap(({ name, summary, options, values }) => {
    const within = `complete -c claudemesh -n '__fish_seen_subcommand_from ${name}'`
    return [
      `complete -c claudemesh -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
      ...options.map((option) => `${within} ${flags(option)} -d ${quoted(option.summary)}`),
      ...(values.length > 0 ? [`${within} -f -a ${quoted(values.join(' '))}`] : []),
    ]
  })
  return `${lines.join('\n')}\n`
}

function flags({ long, short, takesValue, values }: CompletableOption): string {
  const names = `-l ${long.slice(2)}${short === undefined ? '' : ` -s ${short.slice(1)}`}`
  if (!takesValue) return `-f ${names}`
  return values.length > 0 ? `${names} -x -a ${quoted(values.join(' '))}` : `${names} -r`
}

const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
