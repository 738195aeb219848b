import { setTimeout as wait } from 'node:timers/promises'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { isAlive, processMark } from '../home/alive.ts'
import { findRunning } from '../local/runfile.ts'
import type { Result } from '../output.ts'

const patience = 10_000
const pause = 25

/** Ends this user's embedded broker and returns when its process is gone. */
export async function down(context: Context): Promise<Result> {
  const running = findRunning(context.home)
  if (!running) return { json: { stopped: false }, text: 'no broker of yours is running' }
  process.kill(running.pid, 'SIGTERM')
  for (let waited = 0; isAlive(running.pid) && processMark(running.pid) === running.mark; waited += pause) {
    if (waited >= patience) throw new Failure('not_stopped', `process ${running.pid} does not end; end it yourself: kill -9 ${running.pid} (nothing is lost)`)
    await wait(pause)
  }
  return { json: { stopped: true, pid: running.pid }, text: `the broker (process ${running.pid}) has ended` }
}
