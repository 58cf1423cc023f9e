# shellcheck shell=bash
# Makes the tree of a distribution: a server as somebody has set it up.
# usage: bash -c "$(cat base.sh)" base TREE SUITE ARCHIVE INCLUDED [LATER [OPTION]]
#   INCLUDED, LATER   packages, by commas; the later ones also from the suite's updates
#   OPTION            --download-only: only what the server needs to install them itself, without a network
set -euo pipefail
tree=$1 suite=$2 archive=$3 included=$4 later=${5:-} how=${6:-}
options=(--variant=minbase "--include=$included")
script=/usr/share/debootstrap/scripts/$suite
case $archive in
  *ubuntu*)
    # Debian has no keys of Ubuntu's archive. This is what Ubuntu 24.04 has; its keyring names the key
    # F6EC B376 2474 EDA9 D21B 7022 8719 20D1 991B C93C, of 2018.
    mkdir -p "$tree"
    keys=$(mktemp -d)
    trap 'rm -rf "$keys"' EXIT
    curl -sSf --retry 3 -o "$keys/deb" "$archive/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
    echo "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  $keys/deb" | sha256sum --check --quiet
    dpkg-deb --extract "$keys/deb" "$keys"
    options+=("--keyring=$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" "--components=main,universe")
    # Every Ubuntu since is made alike.
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
    ;;
esac
debootstrap "${options[@]}" "$suite" "$tree" "$archive" "$script"
rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
if [ -n "$later" ]; then
  inside() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
  case $archive in
    *ubuntu*) printf 'deb %s %s main universe\n' "$archive" "$suite" "$archive" "$suite-updates" ;;
    *) printf 'deb %s %s main\n' "$archive" "$suite" ;;
  esac >"$tree/etc/apt/sources.list"
  cp /etc/resolv.conf "$tree/etc/resolv.conf"
  inside apt-get -q -o Acquire::Retries=3 update
  # Nothing is started by being installed: there is no systemd.
  printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
  chmod 755 "$tree/usr/sbin/policy-rc.d"
  # shellcheck disable=SC2086 # several packages are several words
  inside apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends $how ${later//,/ }
  : >"$tree/etc/resolv.conf"
  if [ -z "$how" ]; then inside apt-get -q clean; fi
fi
# Hosts make their own identities.
rm -f "$tree"/etc/ssh/ssh_host_*
