import { installClaude } from './harness/install.ts'

/** Claude Code is there before the first test. */
export function setup(): void {
  installClaude()
}
