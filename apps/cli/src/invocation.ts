import type { Context } from './context.ts'

/** How the user starts this CLI, for the commands we print: from a clone it is run through pnpm. */
export function invocation(context: Pick<Context, 'script'>): string {
  return context.script.endsWith('.ts') ? 'npx -y pnpm@12 claudemesh' : 'claudemesh'
}
