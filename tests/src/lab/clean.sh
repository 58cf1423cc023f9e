# Ends one run of the lab and removes all of it: processes, links, cgroups, files.
# usage: bash -c "$(cat clean.sh)" clean RUN <PIPE
# Starts when PIPE closes: whoever owns the run holds its other end, so also when the owner was killed.
run=$1
trap '' HUP INT TERM
while read -r _; do :; done
exec 9>>"${run%/runs/*}/clean.lock"
flock 9
[ -d "$run" ] || exit 0

# A process is known by its id and its start time; the fields are counted after the name, which may hold spaces.
alive() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # the fields are meant to be split
  set -- "$2" ${stat##*) }
  [ "${21}" = "$1" ] && [ "$2" != Z ]
}

for file in "$run"/procs/*; do
  read -r pid start <"$file" 2>/dev/null || continue
  alive "$pid" "$start" && kill -KILL "$pid" 2>/dev/null
  # A host's process 1 is gone only when everything in the host is.
  for _ in $(seq 500); do alive "$pid" "$start" || break; sleep 0.02; done
done

bridge=$(cat "$run/bridge" 2>/dev/null)
if [ -n "$bridge" ]; then
  for group in "/sys/fs/cgroup/longshore-$bridge" /sys/fs/cgroup/*/"longshore-$bridge"; do
    [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} +
  done
  # Last: with its bridge gone another run may take the same number, and groups of the same name.
  ip -o link show master "$bridge" 2>/dev/null | while read -r _ link _; do
    link=${link%%@*}
    ip link delete "${link%:}" 2>/dev/null
  done
  ip link delete "$bridge" 2>/dev/null
fi
# The host's mounts went with its namespace; if one is still going, its folder is busy for a moment.
for _ in $(seq 100); do rm -rf --one-file-system "$run" 2>/dev/null && break; sleep 0.05; done
exit 0
