#!/bin/sh
# Installs the agent on this server: binary and unit; the identity comes from `agent enroll` and `agent accept`.
# usage: install.sh AGENT [SHA256]     AGENT: the binary; SHA256: what it must be
# Running it again replaces both. Nothing is started before there is an identity.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] || { sed -n '3s/^# //p' "$0" >&2; exit 64; }
agent=$1
[ "$(id -u)" = 0 ] || fail "must run as root"
[ -f "$agent" ] || fail "$agent is not a file"
if [ $# -ge 2 ]; then
  actual=$(sha256sum <"$agent")
  [ "${actual%% *}" = "$2" ] || fail "$agent is not the file that was meant: its SHA-256 is ${actual%% *}"
fi

install -d -m 0700 /etc/longshore /var/lib/longshore
# Beside its place first, so that the name always holds a whole program.
install -m 0755 "$agent" /usr/local/bin/agent.new
/usr/local/bin/agent.new version >/dev/null || { rm -f /usr/local/bin/agent.new; fail "$agent does not run on this machine"; }
mv /usr/local/bin/agent.new /usr/local/bin/agent
install -m 0644 "$here/longshore-agent.service" /etc/systemd/system/longshore-agent.service
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable longshore-agent.service
  if [ -f /etc/longshore/identity.pem ]; then systemctl restart longshore-agent.service; fi
fi
say "installed. next:"
say "  agent enroll --name NAME > NAME.request     then, on a workstation: controller host approve NAME …"
say "  agent accept GRANT && systemctl start longshore-agent"
