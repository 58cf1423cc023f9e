# shellcheck shell=bash
# The base as a tree that may be changed, over the base and out of everyone's sight. $1 is the base, $2 where it goes.
set -euo pipefail
export LC_ALL=C
base=$1 out=$2
tree=$out/tree
mkdir -p "$out/upper" "$out/work" "$tree"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$out/upper,workdir=$out/work" "$tree"
mount -t proc proc "$tree/proc"
cp /etc/resolv.conf "$tree/etc/resolv.conf"

inside() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
