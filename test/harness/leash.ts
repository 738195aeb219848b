import { spawn, type ChildProcess } from 'node:child_process'

interface Leash {
  /** What it is ended with. */
  readonly signal: 'KILL' | 'QUIT'
  /** Removed once it has ended. */
  readonly folders?: readonly string[]
}

// Waits for the end of its input, which comes when nobody is left who could write to it.
const script = 'read -r _; kill -s "$1" "$0" 2>/dev/null; while kill -0 "$0" 2>/dev/null; do sleep 0.1; done; shift; rm -rf -- "$@"'

/** Sees to it that a server does not outlive this process, however this process ends. */
export function leash(child: ChildProcess, { signal, folders = [] }: Leash): void {
  // In a group of its own: what ends this process by its group must not end the watch.
  const watch = spawn('sh', ['-c', script, String(child.pid), signal, ...folders], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watch.unref()
  child.once('exit', () => watch.kill('SIGKILL'))
}

/** The same for a process that this one forked, said there, and before anything else: it ends with whoever forked it. */
export function endWithParent(): void {
  process.once('disconnect', () => process.exit())
  if (!process.connected) process.exit()
}
