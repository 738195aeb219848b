import type { Command } from 'commander'
import { bashScript } from '../completion/bash.ts'
import { fishScript } from '../completion/fish.ts'
import { completables } from '../completion/model.ts'
import { powershellScript } from '../completion/powershell.ts'
import { zshScript } from '../completion/zsh.ts'
import type { Result } from '../output.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript, powershell: powershellScript }

/** The script that completes this program's commands, flags and their values in a shell. */
export function completion(program: Command, shell: string): Result {
  const script = scripts[shell as keyof typeof scripts](completables(program))
  return { json: { shell, script }, text: script.trimEnd() }
}
