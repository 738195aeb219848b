import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

const possible = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0

/** Keeps a process and its threads on one core: the server on the first, whoever loads it on the second. Where that cannot be done it runs where it likes. */
export function pin(pid: number, core: 0 | 1): void {
  if (possible) spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(core), String(pid)])
}

/** The command that runs another on the first core. */
export const onFirstCore: readonly string[] = possible ? ['taskset', '--cpu-list', '0'] : []
