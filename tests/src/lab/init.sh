# Process 1 of one lab host: lays the tree, mounts what a server has, starts sshd and containerd, and lives
# for as long as its input is open, so that the host cannot outlive whoever made it.
# usage, in new namespaces: bash -c "$(cat init.sh)" init BASE FOLDER NAME ADDRESS GATEWAY NETWORK <PIPE
set -eu
base=$1 folder=$2 name=$3 address=$4 gateway=$5 network=$6
root=$folder/root

# The outer /proc is still mounted here, so this is the id that the machine knows.
read -r pid _ </proc/self/stat
echo "$pid"
read -r _ # eth0 is plugged in
exec 3>&1 >>"$folder/log" 2>&1

mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
# Engines refuse to keep their data on an overlay.
mkdir -p "$root/var/lib/docker" "$root/var/lib/containerd"
mount --bind "$folder/docker" "$root/var/lib/docker"
mount --bind "$folder/containerd" "$root/var/lib/containerd"

hostname "$name"
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"

mkdir -p "$root/root/.ssh" "$root/etc/docker" "$root/run/sshd"
chmod 700 "$root/root/.ssh"
cp "$folder/../../key.pub" "$root/root/.ssh/authorized_keys"
echo "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$root/etc/hosts"
[ -e "$root/etc/docker/daemon.json" ] || printf '{"insecure-registries":["%s"]}\n' "$network" >"$root/etc/docker/daemon.json"

# Not chroot: what an engine later runs in a container's namespace (exec, healthchecks) would find itself
# at the root of the namespace, and that must be this tree and not the machine.
cd "$root"
mkdir -p .old
pivot_root . .old
exec chroot . /bin/bash -euc '
  umount -l /.old
  rmdir /.old
  [ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
  /usr/sbin/sshd </dev/null
  setsid containerd </dev/null >>/var/log/containerd.log 2>&1 3>&- &
  echo up >&3
  exec 3>&-
  set +e
  while read -r _; do :; done'
