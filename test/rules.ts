interface Rule {
  /** The section of the specification; two of its sections are numbered 6, 7 and 8, so those carry a word. */
  readonly section: string
  readonly says: string
  /** Why no test cites the rule yet. */
  readonly later?: string
  /** What we do instead, and why; the citing test proves this. */
  readonly instead?: string
}

/** Every observable sentence of the specification, in our words. A test cites a rule by `verifies('id')`. */
export const rules = {
  // 1 Peers
  'peers.come-and-go': { section: '1', says: 'A session that ends leaves the list of peers; the mesh stays and others join it.' },
  'identity.member-made-by-join': { section: '1', says: 'Joining makes a member key pair that lasts; later sessions on this machine use the same one.' },
  'identity.member-in-config': { section: '1', says: 'The member key stands in config.json of the claudemesh home folder.' },
  'identity.member-authorizes': { section: '1', says: 'Only who proves a member key of the mesh may connect.' },
  'identity.session-per-launch': { section: '1', says: 'Each launch makes a fresh ed25519 key pair for its session.' },
  'identity.same-member-sessions': { section: '1', says: 'Two sessions of one member have different keys and can write to each other.' },
  'peers.name-flag': { section: '1', says: '--name is the label under which peers see this session.' },
  'peers.role-flag': { section: '1', says: '--role is a free-form role that peers see.' },
  'peers.groups-flag': { section: '1', says: '--groups puts the session into groups, each with an optional role.' },
  'peers.status-by-hooks': { section: '1', says: 'Hooks keep the status idle or working without anybody setting it.' },
  'peers.summary': { section: '1', says: 'set_summary sets the short description of current work that peers see.' },
  'peers.attributes-end-with-session': { section: '1', says: 'Name, role, groups, status and summary do not outlive the session.' },
  'peers.member-id-persists': { section: '1', says: 'Every session of a member shows the same member id.' },
  'launch.no-prompts': { section: '1', says: 'With its flags and -y, launch asks nothing and needs no terminal of its own to be driven by scripts.' },
  'launch.passes-arguments': { section: '1', says: 'What stands after -- reaches claude unchanged, a system prompt for instance.' },
  'launch.behaviour-stays-local': { section: '1', says: 'Name and role go to the mesh; the system prompt goes to claude alone.' },
  'launch.owns-the-flags': {
    section: '1',
    says: 'Launch brings the flags, session key, display name and session folder that claude needs.',
    instead: 'no development-channels flag: messages come through the session’s own inbox, which needs no dialog at every launch',
  },
  'launch.quiet': { section: '1', says: '--quiet leaves the banner out.' },
  'launch.autonomous': {
    section: '1',
    says: 'The session sends and receives without asking, and peers exchange text only.',
    instead: 'only the tools of the mesh are allowed and no permission check is skipped, so that the promise is true',
  },
  'wizard.asks-what-is-missing': {
    section: '1',
    says: 'Launch asks for each argument that is missing, one line per question, and for none that was given.',
  },
  'wizard.optional-empty': { section: '1', says: 'Enter alone skips an optional question.' },
  'launch.confirms': { section: '1', says: 'Without -y launch explains what it will do and asks to continue.' },
  'launch.single-mesh': { section: '1', says: 'A single mesh is selected without a question.' },

  // 2 Groups
  'groups.join-and-leave': { section: '2', says: 'A peer joins and leaves groups at any time, and routing follows at once.' },
  'groups.format': { section: '2', says: 'Groups are written name or name:role, separated by commas.' },
  'groups.role-free-form': { section: '2', says: 'A group role is any label; the broker stores it and acts on none.' },
  'groups.no-history': { section: '2', says: 'Who joins a group later gets none of its earlier messages.' },
  'groups.multicast': { section: '2', says: 'A message to @group reaches every member of the group and nobody else.' },
  'groups.all': { section: '2', says: '@all means everybody, like *.' },
  'groups.broadcast': { section: '2', says: 'A message to * reaches every other peer of the mesh.' },
  'groups.direct': {
    section: '2',
    says: 'A message to a name reaches that peer alone.',
    instead: 'the sender’s client looks names up in signed presence: a broker that resolved them could choose the reader',
  },
  'groups.sender-excluded': { section: '2', says: 'A message to a group never returns to its sender, who may be a member.' },
  'groups.in-list-peers': { section: '2', says: 'list_peers shows name, status, role, groups with their roles, and summary.' },
  'groups.role-change': { section: '2', says: 'Joining again changes the role: to lead, or back to observer.' },
  'groups.patterns-by-convention': {
    section: '2',
    says: 'Leading, reviewing in a chain, flooding and delegating need nothing of the broker: every role sends alike.',
  },
  'groups.vote': { section: '2', says: 'Members vote by writing state, the lead counts.' },

  // 3 State
  'state.anybody': { section: '3', says: 'Any peer reads and writes the state of its mesh.' },
  'state.pushed': { section: '3', says: 'A write is pushed to all connected peers, with key, value and who wrote it.' },
  'state.notice': {
    section: '3',
    says: 'A change is translated to a channel push into the session.',
    instead:
      'it is one short notice at the next turn, of each key the last value, and wakes only who asked to watch the key: a busy key must not spend a model’s turns',
  },
  'state.list': { section: '3', says: 'list_state lists all keys with values, authors and times.' },
  'state.lives-with-mesh': { section: '3', says: 'State outlives the sessions that wrote it: it stays as long as the mesh.' },
  'state.stored': {
    section: '3',
    says: 'The broker stores key, value, author and time; a key stands once per mesh.',
    instead: 'key, value, author and time are sealed, and the row is named by a keyed hash, unless the signed policy asks for the plain form',
  },

  // 4 Memory
  'memory.survives-sessions': { section: '4', says: 'What a session remembered is recalled by sessions that come after it ended, also those of new members.' },
  'memory.ranked': { section: '4', says: 'recall is a full-text search that answers best first.' },
  'memory.tags': { section: '4', says: 'A memory may bear tags, and recall narrows to them.' },
  'memory.soft-delete': { section: '4', says: 'forget marks a memory with forgotten_at: its row stays, recall no longer finds it.' },
  'memory.author': {
    section: '4',
    says: 'A memory keeps who remembered it and when.',
    instead: 'both are signed by the session that remembered it, so that the broker cannot tell another author',
  },
  'memory.sealed': {
    section: '4',
    says: 'The broker stores content and tags as text with a search vector.',
    instead: 'it does so only where the signed policy says plain; otherwise it stores ciphertext, and the client searches',
  },

  // 5 Files
  'files.attachment': { section: '5 files', says: 'A message attachment is for the message’s recipients alone, for 24 hours or until they have read it.' },
  'files.several': { section: '5 files', says: 'send_message attaches one file or several.' },
  'files.shared': { section: '5 files', says: 'A shared file is there for the entire mesh, current and future members, until it is deleted.' },
  'files.found': { section: '5 files', says: 'list_files finds files by words, tags and who shared them.' },
  'files.shown': { section: '5 files', says: 'Recipients see 📎 with name, size and the call of get_file in the push.' },
  'files.status': { section: '5 files', says: 'file_status tells who has a file, and when each read it.' },
  'files.access': {
    section: '5 files',
    says: 'Access is checked before a file can be downloaded.',
    instead:
      'the broker streams the object itself to a signed request instead of handing out a presigned URL: access is checked at each download, no URL can leak, and the storage needs no way in from outside',
  },
  'files.upload': {
    section: '5 files',
    says: 'The CLI sends the file over HTTP, the broker stores it and makes a row; the file id goes into the message.',
    instead: 'as one stream of ciphertext under a signed request rather than a multipart form, so that it can be resumed and has no name on the way',
  },
  'files.bucket': {
    section: '5 files',
    says: 'One bucket per mesh, mesh-{meshId}, with shared/{fileId}/… and ephemeral/{date}/{fileId}/….',
    instead: 'the last part is always “object”: the name of a file is sealed',
  },

  // 6 Multi-target messages
  'targets.string-or-array': { section: '6 targets', says: 'to is one target or an array that mixes names and groups.' },
  'targets.deduplicated': {
    section: '6 targets',
    says: 'A peer that several targets name gets the message once.',
    instead: 'the client resolves and deduplicates, since it seals for each recipient; the broker refuses repeated recipients',
  },

  // 7 Targeted views
  'views.taught': { section: '7 views', says: 'The instructions teach to send each audience its own message instead of one broadcast.' },

  // 8 AI context
  'context.file-installed': { section: '8 context', says: 'install copies the guide CLAUDEMESH.md to the claudemesh home folder.' },
  'context.tools': { section: '8 context', says: 'The instructions say which tool is for what.' },
  'context.group-roles': { section: '8 context', says: 'They say how to read roles: a lead gathers, a member contributes, an observer watches.' },
  'context.audience': { section: '8 context', says: 'They say when to address a peer, a group or everybody.' },
  'context.state': { section: '8 context', says: 'They say how to read and write shared state.' },
  'context.memory': { section: '8 context', says: 'They say how to remember and recall.' },
  'context.priorities': { section: '8 context', says: 'They say that now is for urgent matters, next is normal and low is for information.' },
  'context.replies': { section: '8 context', says: 'They say to answer a peer under its display name.' },
  'context.summaries': { section: '8 context', says: 'They say to keep the summary meaningful.' },
  'context.lean': { section: '8 context', says: 'The whole guide is under 2,000 tokens.' },

  // 5 Files: where their bytes are
  'storage.bucket-per-mesh': {
    section: '5',
    says: 'Each mesh has a bucket mesh-{meshId}; persistent objects stand under shared/{fileId}/, ephemeral ones under ephemeral/{date}/{fileId}/.',
    instead: 'each of them is called object: the name of a file is sealed',
  },
  'storage.ephemeral-lifecycle': { section: '5', says: 'A lifecycle rule of the bucket deletes what is ephemeral after 24 hours.' },
  'storage.internal': { section: '5', says: 'The S3 server stands on an internal network and is invisible to clients.' },
  'storage.compose': { section: '5', says: 'docker-compose.yml brings the broker with MinIO, its settings and a volume for it.' },

  // 6 WebSocket protocol
  'wire.hello': {
    section: '6 protocol',
    says: 'hello authenticates, registers the presence and is answered by hello_ack with presence id and member name.',
    instead:
      'it signs the broker’s nonce and address with both keys, and tells neither pid nor folder: a recorded hello is worthless elsewhere, and the mesh has no use for either',
  },
  'wire.send': { section: '6 protocol', says: 'send carries target, priority, nonce and ciphertext; ack answers with message id and how many were queued.' },
  'wire.push': {
    section: '6 protocol',
    says: 'push brings message id, mesh, sender’s session key, priority, nonce, ciphertext and time of arrival at the broker.',
  },
  'wire.message-status': { section: '6 protocol', says: 'message_status is answered with delivered, when, and the state of each recipient.' },
  'wire.set-status': { section: '6 protocol', says: 'set_status overrides the status.' },
  'wire.set-summary': { section: '6 protocol', says: 'set_summary updates the summary.' },
  'wire.list-peers': { section: '6 protocol', says: 'list_peers is answered by peers_list with the connected peers.' },
  'wire.groups': { section: '6 protocol', says: 'join_group and leave_group change the groups of the presence.' },
  'wire.state': { section: '6 protocol', says: 'set_state, get_state and list_state, with state_change, state_result and state_list.' },
  'wire.memory': {
    section: '6 protocol',
    says: 'remember carries content and tags and is answered by memory_stored, recall by memory_results, forget takes a memory id.',
    instead:
      'remember carries a signed record with content and tags in it, sealed unless the signed policy says plain; sealed, clients search what sync_memories gives them',
  },
  'wire.error': { section: '6 protocol', says: 'What fails is answered by error with code, message and the id of the request.' },

  // 7 MCP tools
  'tools.send-message': { section: '7 tools', says: 'send_message sends to a name, a group or *, with an optional priority.' },
  'tools.send-files': { section: '7 tools', says: 'send_message attaches files.' },
  'tools.check-messages': { section: '7 tools', says: 'check_messages returns the waiting messages and empties the buffer.' },
  'tools.message-status': { section: '7 tools', says: 'message_status tells the delivery of a message per recipient.' },
  'tools.list-peers': { section: '7 tools', says: 'list_peers lists all peers, or those of one group.' },
  'tools.set-summary': { section: '7 tools', says: 'set_summary sets the summary that peers see.' },
  'tools.set-status': { section: '7 tools', says: 'set_status sets idle, working or dnd by hand.' },
  'tools.join-group': { section: '7 tools', says: 'join_group joins a group with an optional role.' },
  'tools.leave-group': { section: '7 tools', says: 'leave_group leaves a group.' },
  'tools.state': { section: '7 tools', says: 'set_state, get_state and list_state.' },
  'tools.memory': { section: '7 tools', says: 'remember, recall and forget.' },
  'tools.files': { section: '7 tools', says: 'share_file, get_file, list_files, file_status and delete_file.' },

  // 8 Encryption
  'encryption.direct': {
    section: '8 encryption',
    says: 'A direct message is a libsodium crypto_box between X25519 keys derived from the ed25519 session keys.',
  },
  'encryption.only-the-recipient': { section: '8 encryption', says: 'What is sealed for a session opens with the key of that session alone.' },
  'encryption.groups': {
    section: '8 encryption',
    says: 'Group and broadcast messages are plaintext in base64.',
    instead: 'the body is sealed once and its key boxed for each recipient, so that the broker reads no message at all',
  },
  'encryption.no-fallback': {
    section: '8 encryption',
    says: 'What does not decrypt is read as base64 plaintext.',
    instead: 'it is a named refusal and never text: otherwise the broker could put words into anybody’s mouth',
  },
  'encryption.stable-session-key': { section: '8 encryption', says: 'The session key is made once and survives reconnects.' },
  'encryption.queued-opens-later': { section: '8 encryption', says: 'Messages queued while a session was away open after it reconnects.' },

  // 9 Production hardening
  'presence.stale-after-3-pings': { section: '9', says: 'A presence that misses three pings, 90 s, is marked disconnected.' },
  'broadcast.sender-excluded': { section: '9', says: 'A broadcast skips its sender.' },
  'routing.session-keys': { section: '9', says: 'Messages go to session keys: another session of the same member does not get them.' },
  'queue.sender-session-key': { section: '9', says: 'The queue keeps the session key of the sender, so that a message opens after the sender left.' },
  'names.of-senders': {
    section: '9',
    says: 'A cache of 30 s gives a message its sender’s name.',
    instead: 'the name comes from the verified roster that pushes keep current, so it is neither late nor the broker’s word',
  },
  'launch.sweeps-orphans': { section: '9', says: 'Folders of crashed sessions are removed after an hour.' },
  'launch.no-double-flags': { section: '9', says: 'A --dangerously flag of the user is passed once, never doubled.' },

  // 10 Commands
  'cli.install': { section: '10', says: 'install registers the MCP server and the hooks with Claude Code, uninstall removes them.' },
  'cli.join': { section: '10', says: 'join makes a key pair and enrols it with the broker.' },
  'cli.leave': { section: '10', says: 'leave takes this machine out of a mesh.' },
  'cli.list': { section: '10', says: 'list shows the meshes that this machine joined.' },
  'cli.status': { section: '10', says: 'status tells for each mesh whether its broker answers.' },
  'cli.doctor': { section: '10', says: 'doctor checks what may be wrong.' },
  'cli.mcp': { section: '10', says: 'mcp is the MCP server that Claude Code starts.' },
  'cli.launch-mesh': { section: '10', says: '--mesh selects the mesh of the session.' },
  'cli.launch-join': { section: '10', says: '--join joins a mesh before the launch.' },
} as const satisfies Record<string, Rule>

/** A rule’s name. */
export type RuleId = keyof typeof rules
