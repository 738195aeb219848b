export type FailureCode =
  | 'usage'
  | 'unsafe_file'
  | 'bad_file'
  | 'broken_config'
  | 'bad_settings'
  | 'locked'
  | 'no_mesh'
  | 'already_joined'
  | 'no_broker'
  | 'port_taken'
  | 'data_in_use'
  | 'no_claude'
  | 'not_stopped'
  | 'no_handover'
  | 'no_session'
  | 'broken_limits'
  | 'not_answering'
  | 'unset'

/** What went wrong on this machine, in one sentence that ends with the remedy. Failures of the mesh itself are MeshErrors. */
export class Failure extends Error {
  readonly code: FailureCode

  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
  }

  /** 2 for a wrong command line, 1 for everything else. */
  get exitCode(): 1 | 2 {
    return this.code === 'usage' ? 2 : 1
  }
}
