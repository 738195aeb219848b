import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const key = 'sk-ant-scripted-0123456789-0123456789-0123456789'

/** A HOME in which Claude Code asks nothing at its start, for projects in `cwd`. */
export function prepareHome(home: string, cwd: string): void {
  // What a session has made of its home since then stays.
  if (existsSync(join(home, '.claude.json'))) return
  mkdirSync(join(home, '.claude'), { recursive: true })
  const project = { hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true, projectOnboardingSeenCount: 5, allowedTools: [], mcpServers: {} }
  const state = {
    hasCompletedOnboarding: true,
    lastOnboardingVersion: '99.0.0',
    theme: 'dark',
    numStartups: 5,
    customApiKeyResponses: { approved: [key.slice(-20)], rejected: [] },
    projects: { [realpathSync(cwd)]: project },
  }
  writeFileSync(join(home, '.claude.json'), JSON.stringify(state))
  writeFileSync(join(home, '.claude', 'settings.json'), '{}')
}

/** This process's environment without anything of Anthropic's or Claude Code's, pointed at the scripted API and nothing else. */
export function scrubbedEnv(options: { home: string; apiUrl: string; path: string }): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(ANTHROPIC_|CLAUDE|MCP_|AWS_|GOOGLE_|npm_|INIT_CWD|VITEST|NODE_OPTIONS|TMUX)/i.test(name))
  return {
    ...Object.fromEntries(kept),
    HOME: options.home,
    PATH: options.path,
    ANTHROPIC_BASE_URL: options.apiUrl,
    ANTHROPIC_API_KEY: key,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    IS_SANDBOX: '1',
  }
}
