import { flagsOf, type Completable } from './model.ts'

/** A completion script for bash 3.2 or newer. */
export function bashScript(commands: readonly Completable[]): string {
  const values = commands.flatMap(({ name, options }) =>
    options.filter((option) => option.takesValue).map(({ long, values: words }) => `    '${name} ${long}') words='${words.join(' ')}' ;;`),
  )
  const words = commands.map((command) => `    '${command.name}') words='${[...command.values, ...flagsOf(command)].join(' ')}' ;;`)
  return `_claudemesh() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command='' words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    # What follows is Claude Code's.
    if [[ \${COMP_WORDS[i]} == -- ]]; then return; fi
    if [[ -z $command && \${COMP_WORDS[i]} != -* ]]; then command=\${COMP_WORDS[i]}; fi
  done
  case "$command $prev" in
${values.join('\n')}
    *)
      case $command in
        '') words='${commands.map(({ name }) => name).join(' ')} --help --version' ;;
${words.map((line) => `    ${line}`).join('\n')}
      esac
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _claudemesh claudemesh
`
}
