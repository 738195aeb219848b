import { Option, type Command } from 'commander'
import type { Context } from './context.ts'
import { positive, whole } from './flags.ts'
import type { Output, Result } from './output.ts'

interface Program {
  readonly context: Context
  readonly output: (flags: { json?: boolean }) => Output
  readonly show: (flags: { json?: boolean }, result: Promise<Result>) => Promise<void>
  readonly explained: (command: Command) => Command
  readonly meshFlag: () => Option
  readonly nameFlag: () => Option
}

/** `claudemesh file …` */
export function fileCommands(file: Command, { context, output, show, explained, meshFlag, nameFlag }: Program): void {
  const sub = (usage: string, summary: string) => explained(file.command(usage).description(summary)).addOption(meshFlag()).addOption(nameFlag())
  const load = () => import('./commands/file.ts')
  sub('share <path>', 'share a file until it is deleted')
    .option('--as <name>', 'how peers see it')
    .option('--tags <list>', 'labels to find it by, such as api,auth')
    .option('--force', 'even if it looks like a secret')
    .action(async (path, flags) => show(flags, (await load()).share(context, output(flags), path, flags)))
  sub('get <id> [to]', 'download a shared file into a folder, or to a path')
    .option('--overwrite', 'replace an existing file')
    .action(async (id, to, flags) => show(flags, (await load()).get(context, output(flags), id, to ?? '.', flags)))
  sub('list [words...]', 'list the shared files, newest first')
    .option('--from <name>', 'only those of this peer or member')
    .option('--limit <n>', 'at most so many (default 20)', positive)
    .option('--after <next>', 'go on where a list before ended', whole)
    .addOption(new Option('--all', 'all of them').conflicts('limit'))
    .action(async (words, flags) => show(flags, (await load()).list(context, words, flags)))
  sub('status <id>', 'show who downloaded a file').action(async (id, flags) => show(flags, (await load()).status(context, id, flags)))
  sub('rm <id>', 'delete a file you shared').action(async (id, flags) => show(flags, (await load()).rm(context, id, flags)))
}
