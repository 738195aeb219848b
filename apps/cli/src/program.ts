import { Argument, Command, Option, type CommanderError } from 'commander'
import type { Context } from './context.ts'
import { fileCommands } from './file-commands.ts'
import { Failure } from './failure.ts'
import { date, duration, forms, patterns, port, positive, printedId, repeated, whole } from './flags.ts'
import { Output, type Result } from './output.ts'

const meshFlag = () => new Option('--mesh <slug>', 'which mesh, when you are in several')
const nameFlag = () => new Option('--name <name>', 'the name this session bears')

/**
 * The command line. Each action loads its code when it runs, so that help and the MCP server start fast. `claudeArgs` is what stood after `--`; a command that
 * ends in another way than well calls `exit`.
 */
export function makeProgram(context: Context, claudeArgs: readonly string[], exit: (code: number) => void): Command {
  const program = new Command('claudemesh')
    .description('Claude Code sessions that talk to each other, end to end encrypted')
    .version(context.version)
    .exitOverride(refuse('claudemesh --help lists the commands'))
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      // Said once, by who reports every failure.
      outputError: () => {},
    })
  const command = (usage: string, summary: string, hidden = false) => explained(program.command(usage, { hidden }).description(summary))
  const output = (flags: { json?: boolean }) => new Output(context, flags.json === true)
  const show = async (flags: { json?: boolean }, result: Promise<Result> | Result) => output(flags).result(await result)

  command('up', 'run a broker on this machine, with a mesh named local')
    .option('--port <port>', 'the port to serve (default 7717)', port)
    .option('--data <dir>', 'where the broker keeps its data')
    .option('--detach', 'run in the background')
    .action(async (flags) => (await import('./commands/up.ts')).up(context, output(flags), flags))
  command('down', 'end the broker that up started').action(async (flags) => show(flags, (await import('./commands/down.ts')).down(context)))
  command('broker', 'run the production broker, configured by the environment')
    .option('--check', 'say what the environment sets and which service answers, and end')
    .option('--backup <file>', 'write what the store keeps to a new file, and end')
    .option('--restore <file>', 'fill an empty store from such a file, and end')
    .action(async (flags) => (await import('./commands/broker.ts')).broker(context, output(flags), flags))

  command('create <slug>', 'found a mesh of your own on a broker')
    .requiredOption('--broker <url>', 'such as wss://mesh.example.com')
    .addOption(nameFlag())
    .action(async (slug, flags) => show(flags, (await import('./commands/create.ts')).create(context, slug, flags)))
  command('invite', 'print a command that lets somebody join')
    .option('--max <n>', 'how many may use it', positive, 1)
    .option('--expires <time>', 'such as 30m, 24h, 7d', duration, duration('24h'))
    .addOption(new Option('--role <role>', 'what the joiner becomes').choices(['member', 'admin']).default('member'))
    .addOption(meshFlag())
    .action(async (flags) => show(flags, (await import('./commands/invite.ts')).invite(context, flags)))
  command('invites', 'list the invites of a mesh')
    .addOption(meshFlag())
    .action(async (flags) => show(flags, (await import('./commands/invite.ts')).invites(context, flags)))
  command('revoke <invite>', 'close an invite, by the beginning of its key')
    .option('--with-members', 'remove those who came with it, too')
    .option('-y, --yes', 'do not ask')
    .addOption(meshFlag())
    .action(async (key, flags) => show(flags, (await import('./commands/remove.ts')).revokeInvite(context, key, flags)))
  command('remove <member>', 'remove a member for good; the mesh gets a new key')
    .option('-y, --yes', 'do not ask')
    .addOption(meshFlag())
    .action(async (who, flags) => show(flags, (await import('./commands/remove.ts')).remove(context, who, flags)))
  command('verify [member]', 'compare eight words with somebody: that you mean the same mesh, or each other')
    .option('-y, --yes', 'the words are the same')
    .addOption(meshFlag())
    .action(async (who, flags) => show(flags, (await import('./commands/verify.ts')).verify(context, who, flags)))
  command('rotate', 'give the mesh a new key')
    .addOption(meshFlag())
    .action(async (flags) => show(flags, (await import('./commands/policy.ts')).rotate(context, flags)))
  command('policy', 'show the signed rules of a mesh, or change them')
    .addOption(new Option('--set <form>', 'such as memory=plain, state=sealed').argParser(forms))
    .addOption(meshFlag())
    .action(async (flags) => show(flags, (await import('./commands/policy.ts')).policy(context, flags)))
  command('join [link]', 'join a mesh with an invite (- reads the link from stdin)')
    .addOption(nameFlag())
    .action(async (link, flags) => show(flags, (await import('./commands/join.ts')).join(context, link, flags)))
  command('leave <slug>', 'leave a mesh and destroy your key in it').action(async (slug, flags) =>
    show(flags, (await import('./commands/meshes.ts')).leave(context, slug)),
  )
  command('list', 'list your meshes').action(async (flags) => show(flags, (await import('./commands/meshes.ts')).list(context)))
  command('status', 'say whether each broker answers')
    .addOption(meshFlag())
    .action(async (flags) => {
      const result = await (await import('./commands/meshes.ts')).status(context, output(flags), flags)
      output(flags).result(result)
      if (result.failed) exit(1)
    })

  command('install', 'register the MCP server and hooks with Claude Code, for plain claude starts').action(async (flags) =>
    show(flags, (await import('./commands/install.ts')).install(context)),
  )
  command('uninstall', 'take back what install did').action(async (flags) => show(flags, (await import('./commands/install.ts')).uninstall(context)))

  command('doctor', 'check what may be wrong and say how to mend it').action(async (flags) => {
    const result = await (await import('./commands/doctor.ts')).doctor(context, output(flags))
    output(flags).result(result)
    if (result.failed) exit(1)
  })
  command('launch', 'start Claude Code as a session of the mesh; its own arguments follow after --')
    .usage('[options] [-- <claude args>]')
    .addOption(nameFlag())
    .option('--role <role>', 'what it does, in a word: dev, reviewer, …')
    .option('--groups <list>', 'groups to join, such as frontend:lead,reviewers')
    .addOption(meshFlag())
    .option('--join <link>', 'join this mesh first')
    .option('--watch <patterns>', 'state keys whose changes wake it, such as deploy_*,sprint', patterns)
    .option('-q, --quiet', 'no banner')
    .option('-y, --yes', 'do not ask')
    .action(async (flags) => {
      exit(await (await import('./commands/launch.ts')).launch(context, output(flags), flags, claudeArgs))
    })
  command('mcp', 'the MCP server (Claude Code starts it)')
    .addOption(new Option('--handover <socket>').hideHelp())
    .addOption(new Option('--channel').hideHelp())
    .addOption(new Option('--wake <socket>').hideHelp())
    .addOption(meshFlag())
    .addOption(nameFlag())
    .option('--role <role>', 'its role')
    .option('--groups <list>', 'groups to join')
    .option('--watch <patterns>', 'state keys whose changes wake it', patterns)
    .action(async (flags) => (await import('./commands/mcp.ts')).mcp(context, flags))

  command('card', 'print who this session is in the mesh (a hook calls it)', true)
    .option('--home <dir>', 'where claudemesh keeps its files')
    .action(async (flags) => (await import('./commands/card.ts')).card({ ...context, home: flags.home ?? context.home }))
  command('peers', 'list the live peers')
    .option('--group <name>', 'only those of one group')
    .addOption(meshFlag())
    .action(async (flags) => show(flags, (await import('./commands/peers.ts')).peers(context, flags)))
  command('send <to> <text>', 'send a message: to a name, @group, * or several with commas; - reads the text from stdin')
    .option('--lines', 'send each line of stdin as a message')
    .option('--durable', 'if nobody online bears the name but a member does: mail for their next session')
    .option('--file <path>', 'attach a file; may be repeated', repeated)
    .addOption(nameFlag())
    .addOption(new Option('--priority <priority>', 'how urgent').choices(['now', 'next', 'low']))
    .addOption(new Option('--wait <rung>', 'return when it is').choices(['stored', 'received', 'surfaced']).default('stored'))
    .addOption(meshFlag())
    .action(async (to, text, flags) => (await import('./commands/send.ts')).send(context, output(flags), to.split(','), text, flags))
  fileCommands(program.command('file').description('share files with the mesh').exitOverride(refuse('see: claudemesh file --help')), {
    context,
    output,
    show,
    explained,
    meshFlag,
    nameFlag,
  })
  command('trace', 'show each step of a message you sent, and where it stopped')
    .addArgument(new Argument('<id>', 'as send printed it').argParser(printedId))
    .addOption(meshFlag())
    .action(async (id, flags) => show(flags, (await import('./commands/trace.ts')).trace(context, id, flags)))
  command('outbox [action]', 'list what waits on this machine for a broker that is away; clear drops it')
    .addOption(meshFlag())
    .action(async (action, flags) => show(flags, (await import('./commands/outbox.ts')).outbox(context, action, flags)))
  command('continue', 'let through the messages that wait because their senders are over the budget').action(async (flags) =>
    show(flags, (await import('./commands/continue.ts')).letContinue(context)),
  )
  command('inbox', 'wait for messages as a peer of your own')
    .option('--follow', 'go on until Ctrl-C')
    .addOption(nameFlag())
    .option('--role <role>', 'your role')
    .option('--groups <list>', 'groups to join, such as frontend:lead,reviewers')
    .addOption(meshFlag())
    .action(async (flags) => (await import('./commands/inbox.ts')).inbox(context, output(flags), flags))
  command('state', 'the shared state: get <key>, set <key> <value>, list [prefix], delete <key>, watch [pattern]')
    .addArgument(new Argument('<action>', 'what to do').choices(['get', 'set', 'list', 'delete', 'watch']))
    .addArgument(new Argument('[key]', 'the key, or for list its beginning, for watch a pattern such as deploy_*'))
    .addArgument(new Argument('[value]', 'JSON, or text; - reads it from stdin'))
    .option('--if-version <n>', 'only if this is its version; 0 = only if unset', whole)
    .addOption(nameFlag())
    .addOption(meshFlag())
    .action(async (action, key, value, flags) => (await import('./commands/state.ts')).state(context, output(flags), action, [key, value], flags))
  command('remember <text>', 'keep a lesson, decision or fact for everybody in the mesh; - reads it from stdin')
    .option('--tags <list>', 'labels, such as payments,incident')
    .addOption(meshFlag())
    .action(async (text, flags) => show(flags, (await import('./commands/memory.ts')).remember(context, text, flags)))
  command('recall <words...>', 'search what the mesh remembers, best first')
    .option('--tags <list>', 'only what bears all of these')
    .option('--by <member>', 'only what this member remembered')
    .option('--since <date>', 'only since then, such as 2026-01-31', date)
    .option('--limit <n>', 'at most so many (default 8, at most 50)', positive)
    .addOption(meshFlag())
    .action(async (words, flags) => show(flags, (await import('./commands/memory.ts')).recall(context, output(flags), words, flags)))
  command('forget', 'take a memory out of recall, for everybody')
    .addArgument(new Argument('<id>', 'as remember and recall print it').argParser(printedId))
    .addOption(meshFlag())
    .action(async (id, flags) => show(flags, (await import('./commands/memory.ts')).forget(context, id, flags)))
  command('call <tool>', "run one of the model's tools")
    .addArgument(new Argument('[json]', 'its arguments').default('{}'))
    .addOption(nameFlag())
    .addOption(meshFlag())
    .action(async (tool, json, flags) => show(flags, (await import('./commands/call.ts')).call(context, tool, json, flags)))

  command('completion', 'print a script that completes this program in your shell')
    .addArgument(new Argument('<shell>', 'which').choices(['bash', 'zsh', 'fish', 'powershell']))
    .action(async (shell, flags) => show(flags, (await import('./commands/completion.ts')).completion(program, shell)))

  command('tour', 'show two peers at work', true)
    .option('--port <port>', 'the port to serve (default 7717)', port)
    .option('--data <dir>', 'where the broker keeps its data')
    .option('--exit', 'end after the tour')
    .action(async (flags) => (await import('./commands/tour.ts')).tour(context, output(flags), flags))
  return program
}

/** A command that takes --json, no more arguments than it names, and whose usage errors name its own help. */
const explained = (command: Command): Command =>
  command
    .option('--json', 'print JSON for programs')
    .allowExcessArguments(false)
    .exitOverride(refuse(`see: claudemesh ${pathOf(command)} --help`))

const pathOf = (command: Command): string => (command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name())

/** What Commander complains of, as every other failure is said; help that was asked for ends as before. */
const refuse = (hint: string) => (error: CommanderError) => {
  if (error.exitCode === 0 || error.code === 'commander.help') throw error
  const complaint = error.message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/, ' (did you mean $1?)')
    .replace(/\.$/, '')
  throw new Failure('usage', `${complaint}; ${hint}`, { cause: error })
}
