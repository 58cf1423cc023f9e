# Takes real programs out of Debian's packages and packs each, with the libraries it needs and a busybox, as one layer.
# Nothing is installed: packages are only unpacked, over the base and out of everyone's sight.
# Runs after tree.sh.
inside apt-get -q -o Acquire::Retries=3 update
inside apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends --download-only \
  haproxy openssl postgresql redis-server redis-tools
inside bash -euc '
  for package in /var/cache/apt/archives/*.deb; do dpkg --extract "$package" /; done
  ldconfig'

# What every one of them has: busybox as a shell, root, and a place for temporary files.
start_layer() {
  root=$tree/layer/$1
  mkdir -p "$root"/{bin,etc,run,tmp,usr/bin} "$root/usr/local/bin"
  chmod 1777 "$root/tmp"
  cp "$tree/bin/busybox" "$root/bin/busybox"
  local applet
  for applet in $(inside busybox --list); do ln -s busybox "$root/bin/$applet" 2>/dev/null || true; done
  printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
}

# user NAME ID HOME: as the public image of the program has it; its folder is its own.
user() {
  printf '%s:x:%s:%s::%s:/bin/sh\n' "$1" "$2" "$2" "$3" >>"$root/etc/passwd"
  printf '%s:x:%s:\n' "$1" "$2" >>"$root/etc/group"
  mkdir -p "$root$3"
  chown "$2:$2" "$root$3"
}

# take PATH...: files and folders of the tree, and the libraries of what is a program; links become what they name.
take() {
  inside bash -euc 'for path; do
      echo "$path"
      { [ -f "$path" ] && ldd "$path" 2>/dev/null || true; } | grep -oE "/[^ ]+" || true
    done | sort -u' take "$@" | inside tar --create --dereference --files-from=- 2>/dev/null | tar --extract -C "$root"
}

# program NAME PATH: where its name is looked for.
program() { take "$2"; [ "$2" = "/usr/bin/$1" ] || ln -sf "$2" "$root/usr/bin/$1"; }

# Its two digests are kept beside it, so that nobody has to unpack it to know them.
end_layer() {
  tar --create --sort=name --mtime=@0 --numeric-owner -C "$root" . >"$out/$1.tar"
  gzip -1 --no-name --keep "$out/$1.tar"
  { sha256sum <"$out/$1.tar.gz"; sha256sum <"$out/$1.tar"; } | cut -d ' ' -f 1 >"$out/$1.digests"
  rm -r "$out/$1.tar" "$root"
}

start_layer postgres
user postgres 999 /var/lib/postgresql
home=$(inside sh -c 'ls -d /usr/lib/postgresql/*')
for name in initdb pg_dump pg_isready pg_restore postgres psql; do program "$name" "$home/bin/$name"; done
program setpriv /usr/bin/setpriv
# Compiling queries is left out, and the compiler with it, which is larger than all the rest.
mapfile -t modules < <(inside find "$home/lib" -maxdepth 1 -name '*.so' ! -name 'llvmjit*')
take "${modules[@]}" "/usr/share/postgresql/${home##*/}" /usr/lib/locale/C.utf8 /usr/share/zoneinfo/Etc /usr/share/zoneinfo/UTC
mkdir -p "$root/run/postgresql" "$root/var/lib/postgresql/data"
ln -s /run "$root/var/run"
chown 999:999 "$root/run/postgresql" "$root/var/lib/postgresql/data"
end_layer postgres

start_layer redis
user redis 999 /data
program redis-server /usr/bin/redis-server
program redis-cli /usr/bin/redis-cli
end_layer redis

start_layer haproxy
user haproxy 99 /var/lib/haproxy
program haproxy /usr/sbin/haproxy
mkdir -p "$root/usr/local/etc/haproxy"
end_layer haproxy

start_layer openssl
program openssl /usr/bin/openssl
take /etc/ssl/openssl.cnf
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/openssl.cnf "$root/usr/lib/ssl/openssl.cnf"
end_layer openssl

umount "$tree/proc" "$tree"
rm -r "$out/upper" "$out/work" "$tree"
