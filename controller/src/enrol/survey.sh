# shellcheck shell=sh
# What a server is and has, one `KEY VALUE` a line. Changes nothing. Runs as root.
say() { printf '%s %s\n' "$1" "$2"; }
first() { head -n 1 | tr -d '\r'; }

say machine "$(uname -m)"
say kernel "$(uname -s)"
say now "$(date +%s)"
if [ -r /etc/os-release ]; then
  # shellcheck disable=SC1091
  (. /etc/os-release; say os "${ID:-}"; say like "${ID_LIKE:-}"; say title "${PRETTY_NAME:-}")
fi
if [ -d /run/systemd/system ]; then
  say systemd yes
  if systemctl is-active --quiet longshore-agent; then say active yes; fi
fi
if command -v apt-get >/dev/null; then say apt yes; fi
say free "$(df -Pk /usr/local | awk 'NR == 2 { print $4 }')"

if command -v docker >/dev/null; then
  say engine "$(timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null | first)"
elif [ -S /var/run/docker.sock ]; then
  say engine unknown
fi
for folder in /usr/local/lib/docker/cli-plugins /usr/local/libexec/docker/cli-plugins \
  /usr/lib/docker/cli-plugins /usr/libexec/docker/cli-plugins; do
  if [ -x "$folder/docker-compose" ]; then
    say compose "$(timeout 10 "$folder/docker-compose" version --short 2>/dev/null | first)"
    break
  fi
done

digest() { if [ -f "$2" ]; then say "$1" "$(sha256sum <"$2" | cut -d ' ' -f 1)"; fi; }
agent=/usr/local/bin/agent
digest agent "$agent"
digest launch /usr/local/lib/longshore/launch
digest unit /etc/systemd/system/longshore-agent.service
if [ -f "$agent" ]; then
  say version "$(timeout 10 "$agent" version 2>/dev/null | first)"
  say identity "$(timeout 10 "$agent" identity --json 2>/dev/null | first)"
fi
if [ -e /etc/longshore/identity.pem ]; then say enrolled yes; fi
