import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { LaunchPlan } from './plan.ts'

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** Runs Claude Code on this terminal until it ends; resolves with its exit code, 128 + n after a signal, as a shell would. */
export function runClaude(claude: string, plan: LaunchPlan, options: { cwd: string; terminal: boolean }): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(claude, plan.args, { cwd: options.cwd, env: plan.env, stdio: 'inherit' })
    // A terminal sends its Ctrl-C to the whole foreground group: a second SIGINT from here would end a session that should only stop its turn.
    const onSignal = (signal: NodeJS.Signals) => {
      if (!(options.terminal && (signal === 'SIGINT' || signal === 'SIGQUIT'))) child.kill(signal)
    }
    for (const signal of forwarded) process.on(signal, onSignal)
    const settle = (finish: () => void) => {
      for (const signal of forwarded) process.off(signal, onSignal)
      finish()
    }
    child.on('error', (error) => settle(() => reject(error)))
    child.on('exit', (code, signal) => settle(() => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0))))
  })
}
