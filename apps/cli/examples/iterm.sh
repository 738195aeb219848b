#!/bin/sh
# Opens one iTerm2 window per name on macOS, each with a session of the mesh.
#
#   apps/cli/examples/iterm.sh Vinnie Rocco
set -eu

claudemesh up --detach >/dev/null

for name in "$@"; do
  osascript - "$name" <<'SCRIPT'
on run {sessionName}
  tell application "iTerm2"
    create window with default profile
    tell current session of current window to write text "claudemesh launch --name " & quoted form of sessionName & " -y"
  end tell
end run
SCRIPT
done
