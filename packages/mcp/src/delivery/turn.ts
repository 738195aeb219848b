/** One user turn for a session of Claude Code. */
export interface Turn {
  readonly text: string
  /** The bucket that Claude Code's limits count in. */
  readonly from: string
  readonly priority: 'next' | 'later'
}
