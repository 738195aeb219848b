import type { Completable, CompletableOption } from './model.ts'

/** A completion script for zsh: to be sourced, or to lie as _claudemesh in the function path. */
export function zshScript(commands: readonly Completable[]): string {
  const list = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`)
  const cases = commands.map(({ name, options, values }) => {
    const rest = values.length > 0 ? `'*:value:(${values.join(' ')})'` : `'*: :_default'`
    return `    ${name}) _arguments ${[...options.flatMap(specs), rest].join(' ')} ;;`
  })
  return `#compdef claudemesh
compdef _claudemesh claudemesh

_claudemesh() {
  local -a commands
  commands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join('\n')}
  esac
}

if [[ $funcstack[1] == _claudemesh ]]; then _claudemesh "$@"; fi
`
}

function specs({ long, short, summary, takesValue, values }: CompletableOption): string[] {
  const value = !takesValue ? '' : values.length > 0 ? `:value:(${values.join(' ')})` : ':value:_default'
  const text = summary.replaceAll(/[[\]:]/g, '\\$&')
  return [long, ...(short === undefined ? [] : [short])].map((flag) => quoted(`${flag}[${text}]${value}`))
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
