# shellcheck shell=sh
# Installs what is missing of Docker and Compose from the packages that apt knows. $engine and $compose are `missing`
# where they are, a Compose older than $oldest too. Ends with 3 when there is no package of one that will do.
export DEBIAN_FRONTEND=noninteractive
candidate() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" { print $2; exit }'; }

apt-get -q update >/dev/null || exit
set --
# shellcheck disable=SC2154 # set by who sends this
if [ "$engine" = missing ]; then
  # Docker's own archive, where somebody has set it up, rather than two engines side by side.
  if [ -n "$(candidate docker-ce)" ]; then
    set -- docker-ce docker-ce-cli containerd.io
  else
    set -- docker.io
    if [ -n "$(candidate docker-cli)" ]; then set -- "$@" docker-cli; fi
  fi
fi
# shellcheck disable=SC2154
if [ "$compose" = missing ]; then
  plugin=
  for name in docker-compose-plugin docker-compose-v2 docker-compose; do
    found=$(candidate "$name" | sed 's/^[0-9]*://')
    # shellcheck disable=SC2154
    if [ -n "$found" ] && dpkg --compare-versions "$found" ge "$oldest"; then
      plugin=$name
      break
    fi
  done
  if [ -n "$plugin" ]; then set -- "$@" "$plugin"; fi
fi
if [ $# -gt 0 ]; then
  echo "$*"
  apt-get -q install -y --no-install-recommends "$@" >&2 </dev/null || exit
fi
if [ -d /run/systemd/system ]; then systemctl enable --now docker >&2 || exit; fi
if [ "$compose" = missing ] && [ -z "$plugin" ]; then exit 3; fi
