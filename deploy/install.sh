#!/bin/sh
# Installs the agent on this server: binary, launcher, unit. Its identity comes from `agent enroll` and `agent accept`.
# usage: install.sh AGENT [SHA256]     AGENT: the binary; SHA256: what it must be
# Needs `launch` and `longshore-agent.service` beside itself. Run again, it completes or replaces what is there. Until
# the new agent is known to be whole and to run here, the old one stays; nothing is started before there is an identity.
# With DESTDIR=FOLDER everything goes below that folder and nothing is started.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
lib=$root/usr/local/lib/longshore
unit=$root/etc/systemd/system/longshore-agent.service
say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

# --- files change whole or not at all

# What is not whole holds space that may be short.
clear_up() { rm -f "$lib"/.new.* "$root/usr/local/bin/.agent.new" "$unit.new"; }

write() {
  cp "$1" "$2" && { sync "$2" 2>/dev/null || sync; } && return
  rm -f "$2"
  fail "cannot write $2: $(df -h "$(dirname "$2")" | tail -n 1); what runs has not changed"
}

# place FILE MODE TO PASSING_NAME
place() {
  if cmp -s "$1" "$3" && [ -n "$(find "$3" -perm "$2")" ]; then return; fi
  write "$1" "$4"
  chmod "$2" "$4"
  mv -f "$4" "$3"
  changed=1
}

# lead NAME TARGET PASSING_NAME: a symbolic link
lead() {
  if [ "$(readlink "$1")" = "$2" ]; then return; fi
  rm -f "$3"
  ln -s "$2" "$3"
  mv -f "$3" "$1"
  changed=1
}

# --- the new agent

# For which machine a program is, as `uname -m` says it; nothing for what is no program of Linux.
machine_of() {
  [ "$(od -An -tx1 -N4 "$1" | tr -d ' ')" = 7f454c46 ] || return 0
  case $(od -An -tx1 -j18 -N2 "$1" | tr -d ' ') in
    3e00) echo x86_64 ;;
    b700) echo aarch64 ;;
    *) echo 'another machine' ;;
  esac
}

# What it says it is. It is run from where it will be: that is what has to work.
version_of() {
  wanted=$(machine_of "$1")
  case $wanted in
    '' | "$(uname -m)") ;;
    *) fail "$agent is built for $wanted, and this machine is $(uname -m); the agent that is here stays" ;;
  esac
  status=0
  said=$("$1" version 2>&1) || status=$?
  case $status:$said in
    0:'agent '*) ;;
    126:*) fail "$agent cannot be run from $lib: is it mounted noexec? ($said)" ;;
    127:*) fail "$agent needs a loader or libraries that are not here: it is built for another distribution ($said)" ;;
    132:*) fail "$agent needs a newer processor than this machine's" ;;
    *) fail "$agent does not run on this machine: $said (exit code $status)" ;;
  esac
  said=${said#agent }
  case $said in
    *[!A-Za-z0-9.+-]*) fail "$agent tells no version: $said" ;;
  esac
}

# Everything that is neither in use nor the one before.
remove_older() {
  for old in "$lib"/agent-*; do
    case ${old##*/} in
      "$(readlink "$lib/current")" | "$(readlink "$lib/previous")") ;;
      *) rm -f "$old" ;;
    esac
  done
}

# --- what is asked for

case $# in
  1 | 2) ;;
  *) sed -n '3s/^# //p' "$0" >&2; exit 64 ;;
esac
agent=$1
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "must run as root"
for file in "$agent" "$here/launch" "$here/longshore-agent.service"; do
  [ -f "$file" ] || fail "$file is not a file"
done
umask 022
mkdir -p "$lib" "$root/usr/local/bin" "$root/etc/longshore" "$root/var/lib/longshore"
chmod 0700 "$root/etc/longshore" "$root/var/lib/longshore"
# One at a time.
exec 9>"$lib/.lock"
if command -v flock >/dev/null; then flock -w 60 9 || fail "another install.sh is at work"; fi
clear_up
trap clear_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Of a copy that nobody else writes: what is verified is what will be run.
write "$agent" "$lib/.new.agent"
chmod 0600 "$lib/.new.agent"
digest=$(sha256sum <"$lib/.new.agent")
digest=${digest%% *}
[ "$digest" = "${2:-$digest}" ] || fail "$agent is not the file that was meant, or not all of it: its SHA-256 is $digest"
chmod 0755 "$lib/.new.agent"
version_of "$lib/.new.agent"
name=agent-$said-$(printf %.8s "$digest")

changed=''
[ "$(readlink "$lib/current")" = "$name" ] || changed=1
mv -f "$lib/.new.agent" "$lib/$name"
place "$here/launch" 0755 "$lib/launch" "$lib/.new.launch"
# A new agent that was on trial is not any more.
rm -f "$lib"/next-[0-9] "$lib/failed"
before=$(readlink "$lib/current") || before=''
case $before in
  '' | "$name") ;;
  *) lead "$lib/previous" "$before" "$lib/.new.link" ;;
esac
lead "$lib/current" "$name" "$lib/.new.link"
lead "$root/usr/local/bin/agent" ../lib/longshore/current "$root/usr/local/bin/.agent.new"
if [ -n "$root" ] || command -v systemctl >/dev/null; then
  mkdir -p "${unit%/*}"
  place "$here/longshore-agent.service" 0644 "$unit" "$unit.new"
fi
remove_older
sync "$lib" 2>/dev/null || sync

say "agent $said is installed as $lib/$name"
identity=$root/etc/longshore/identity.pem
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl --quiet enable longshore-agent.service
  if [ ! -f "$identity" ]; then
    next='systemctl start longshore-agent'
  elif [ -n "$changed" ] || ! systemctl --quiet is-active longshore-agent.service; then
    systemctl restart longshore-agent.service
  fi
else
  next="$lib/launch --keep run"
  say "there is no systemd here; this runs the agent in the foreground: $next"
fi
if [ ! -f "$identity" ]; then
  say "next: agent enroll --name NAME >NAME.request, and on a workstation: controller host approve NAME …"
  say "then: agent accept GRANT, and $next"
fi
