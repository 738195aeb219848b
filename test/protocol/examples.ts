/** Base64url text of `chars` characters, of the form of a key. */
export const key = (chars: number) => 'A'.repeat(chars)
const token = `${key(20)}.${key(86)}`
const transcript = { aud: 'ws://127.0.0.1:7717', clientNonce: key(22), timestamp: 1 }

/** One well-formed frame per request and notice of the contract, without type and id. */
export const clientFrames: Record<string, Record<string, unknown>> = {
  hello: {
    v: 1,
    meshId: 'a'.repeat(32),
    memberId: key(22),
    pubkey: key(43),
    sessionPubkey: key(43),
    sessionId: 's',
    displayName: 'Alice',
    groups: [{ name: 'frontend', role: 'lead' }],
    ...transcript,
    chain: [token],
    presence: token,
    signature: key(86),
    proof: key(86),
  },
  enrol: { v: 1, meshId: 'a'.repeat(32), chain: [token], ...transcript, proof: key(86), keybox: { mk: key(43), n: key(32), c: key(86) } },
  create_mesh: {
    v: 1,
    root: key(43),
    slug: 'dev-team',
    chain: [token],
    policy: token,
    ...transcript,
    proof: key(86),
    keybox: { mk: key(43), n: key(32), c: key(86) },
  },
  get_policy: {},
  set_policy: { policy: token },
  create_invite: { chain: [token], keybox: { mk: key(43), n: key(32), c: key(86) } },
  list_invites: {},
  list_members: { cursor: key(22) },
  put_keyboxes: { epoch: 1, mk: key(43), boxes: [{ reader: key(43), n: key(32), c: key(86) }] },
  get_keyboxes: {},
  list_backs: { before: 3 },
  request_key: {},
  bye: {},
  list_peers: { cursor: 'c' },
  set_summary: { summary: 'Implementing auth', presence: token },
  set_status: { status: 'working' },
  join_group: { name: 'frontend', role: 'lead', presence: token },
  leave_group: { name: 'frontend', presence: token },
  send: { id: key(22), targetSpec: '@frontend', priority: 'next', nonce: key(32), to: key(43), wraps: key(118), ciphertext: key(400) },
  send_more: { messageId: key(22), to: key(43), wraps: key(118) },
  receipt: { received: [key(22)], surfaced: [key(22)], failed: [{ messageId: key(22), reason: 'cannot_open' }] },
  message_status: { messageId: key(22) },
}
