/** What a caller may do about an error: `never` (change the call), `later` (the same call may succeed), `reconnect` (a new connection may). */
export type Retry = 'never' | 'later' | 'reconnect'

const row = (doc: string, retry: Retry = 'never') => ({ doc, retry })

/** Every named error and refusal of claudemesh. The name is the wire code, the log field and the metric label. */
export const errors = {
  // frames
  bad_frame: row('The frame is not JSON, has an unknown type, or a field of the wrong form; the message names the field.'),
  too_large: row('A frame or a field is over its limit; the message names both.'),
  not_ready: row('Only hello, enrol and create_mesh are answered before a valid hello.'),
  already_ready: row('This connection has said hello; a second identity needs a second connection.'),
  hello_timeout: row('No valid hello within 10 s of the challenge.', 'reconnect'),
  // admission
  unauthorized: row('The hello does not prove a member of this mesh; unknown mesh, unknown member and wrong signature look alike.'),
  bad_audience: row('The hello was signed for another broker address.'),
  clock_skew: row('This machine’s clock and the broker’s differ by more than five minutes.'),
  bad_chain: row('The certificates do not form a chain from the mesh’s root key; the message names the rule.'),
  bad_presence: row('The presence is not signed by this session, is older than the last one, or disagrees with the request.'),
  bad_policy: row('The policy is not signed by the root or an admin of this mesh, or does not follow the one before it.'),
  policy_conflict: row('Somebody else changed the policy first; fetch it and try again.', 'later'),
  revoked: row('The signed policy of this mesh revokes this member, session or invite.'),
  mesh_exists: row('This broker already serves that mesh.'),
  mesh_creation_closed: row('This broker does not accept new meshes.'),
  invite_expired: row('The invite has expired; ask for a new one.'),
  invite_used: row('The invite has no uses left; ask for a new one.'),
  duplicate_session: row('Two processes fight over one session key; both are refused for a while.', 'later'),
  replaced: row('A newer connection of the same session took over.'),
  // messages
  not_found: row('Nothing of that id exists for this session.'),
  unknown_target: row('No peer or group answers to that name; the message lists the nearest.'),
  ambiguous_name: row('Several live peers bear that name; the message says how to pick one.'),
  not_durable: row('Only a name can be mail for the absent: not a group, not *, and not a volatile message.'),
  no_recipients: row('The target exists, but nobody else is in it.'),
  bad_name: row('The name breaks the naming rules; the message says which.'),
  bad_recipients: row('Recipient keys and wraps do not match, repeat, or contain the sender.'),
  too_many_recipients: row('More than 2048 recipients.'),
  id_conflict: row('The same message id was used with other content.'),
  top_up_closed: row('The 30 s window for adding recipients to this message has passed.'),
  queue_full: row('A recipient’s queue is full; nothing was stored for it.', 'later'),
  outbox_full: row('The outbox of this machine is full: 1,000 messages or 16 MiB wait for the broker already.', 'later'),
  outbox_unwritable: row('The outbox could not be written to disk, so the message was not kept; the message names the cause.', 'later'),
  rate_limited: row('Too much in too short a time, by this session, its member, its mesh or its address; retryAfter says when to try again.', 'later'),
  overloaded: row('The broker has more to do than it can; retryAfter says when to try again.', 'later'),
  // what the mesh keeps
  bad_key: row('The state key breaks the rules; the message says which.'),
  bad_value: row('The value is nothing that JSON can say and every store can keep; the message says why.'),
  version_conflict: row('The key has another version than the write expected; the message tells it.'),
  rolled_back: row(
    'The broker shows something older than this client has seen, or nothing where something must be. After a restore from a backup, remove its file in the folder states of the claudemesh home.',
  ),
  bad_memory: row('The memory or one of its tags breaks the rules; the message says which.'),
  wrong_form: row('The signed policy of this mesh asks for the other form, sealed or plain.'),
  quota_exceeded: row('The mesh has used up this quota; nothing was stored, and nothing is removed to make room.'),
  // refusals of the receiver: the message is counted and reported, never rendered
  unknown_sender: row('The sender’s certificate chain is missing or does not verify.'),
  wrong_mesh: row('The message belongs to another mesh.'),
  cannot_open: row('The box does not open with this session’s key: changed on the way, or meant for somebody else.'),
  body_swapped: row('The body is not the one the sender wrapped for this recipient.'),
  bad_padding: row('The padding is not canonical.'),
  bad_version: row('The message has a version this client does not know.'),
  wrong_recipient: row('The sender sealed this message for another session.'),
  mismatched_envelope: row('Sender, id or priority inside the seal differ from the envelope outside.'),
  stale_message: row('The message is dated more than seven days away, or after its sender’s certificate ended.'),
  replayed: row('The message was already received, or is older than the replay window.'),
  plaintext_refused: row('The signed policy of this mesh does not allow plaintext.'),
  bad_encoding: row('Text is not canonical base64url, or has the wrong length.'),
  bad_token: row('A signed token is malformed, of the wrong type, or its signature does not verify.'),
  no_mesh_key: row(
    'This member has no key of the mesh’s present epoch, and nobody who could hand it over is online; an admin can make one with claudemesh rotate.',
  ),
  bad_keybox: row('The key box does not open for this member, or holds another key than the signed policy names.'),
  bad_record: row('The stored record is not signed by the session it names, or not of the form it claims.'),
  bad_invite_link: row('The invite link is incomplete or damaged; copy it again.'),
  // files
  forbidden: row('Only the member it belongs to may do that, or an admin.'),
  storage_full: row('The broker’s storage has no room left.', 'later'),
  storage_unavailable: row('The broker’s storage does not answer.', 'later'),
  wrong_offset: row('The bytes do not continue where the upload stands; ask for the offset again.', 'later'),
  upload_incomplete: row('The object does not have all its bytes yet, or more than were declared.'),
  file_damaged: row('The object is not the one that was shared: changed, cut short or extended on the way. Nothing was kept.'),
  file_refused: row('This file may not be read for sharing, or this place not be written to; the message says why.'),
  file_exists: row('There is a file of that name already.'),
  // connection
  slow_consumer: row('The peer reads too slowly; its messages wait in the durable queue.', 'reconnect'),
  shutting_down: row('The broker is going down; retryAfter says when to come back, which is another moment for everybody.', 'reconnect'),
  unavailable: row('The broker cannot be reached.', 'reconnect'),
  timeout: row('No answer in time.', 'later'),
  closed: row('The connection was closed on purpose.'),
  internal: row('The other side failed; its log has the cause.', 'later'),
} as const satisfies Record<string, { doc: string; retry: Retry }>

export type ErrorCode = keyof typeof errors

/** The one error class on both ends: a code of the table, a sentence for people, and where useful the remedy. */
export class MeshError extends Error {
  readonly code: ErrorCode
  /** Milliseconds to wait, with `rate_limited` and `overloaded`. */
  readonly retryAfter: number | undefined
  /** The present version, with `version_conflict`. */
  readonly version: number | undefined

  constructor(
    code: ErrorCode,
    message: string = errors[code].doc,
    options: { cause?: unknown; retryAfter?: number | undefined; version?: number | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'MeshError'
    this.code = code
    this.retryAfter = options.retryAfter
    this.version = options.version
  }

  get retry(): Retry {
    return errors[this.code].retry
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errors, text)
}
