#!/bin/sh
# Two sessions side by side in tmux. Ask one of them to greet the other, and watch.
#
#   apps/cli/examples/two-panes.sh [session name]
set -eu

session=${1:-mesh}
claudemesh up --detach >/dev/null

pane() {
  tmux send-keys -t "$1" "$2" Enter
}

tmux new-session -d -s "$session"
tmux split-window -h -t "$session"
pane "$session:.{left}" "claudemesh launch --name Vinnie --role thief --groups 'robbers:lead,all' -y -- --append-system-prompt 'You are a bumbling car thief. Answer your peers in character.'"
pane "$session:.{right}" "claudemesh launch --name 'Big T' --role dealer --groups 'dealers:lead,all' -y -- --append-system-prompt 'You are Big Tony Moretti, a loud friendly car dealer in Detroit. Answer your peers in character.'"

if [ -t 1 ]; then exec tmux attach -t "$session"; fi
