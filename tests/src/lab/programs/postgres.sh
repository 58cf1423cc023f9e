#!/bin/sh
# Starts PostgreSQL as the public image does: on the first start its data is made, as the POSTGRES_* variables say.
set -eu
data=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$data"
  # By its path: the shell has a smaller one of that name in itself.
  exec /usr/bin/setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$data/PG_VERSION" ]; then
  chmod 700 "$data"
  printf '%s\n' "${POSTGRES_PASSWORD:?set a password}" >/tmp/password
  # Nothing is lost when a test's server loses power while its data is made.
  initdb --no-sync --no-instructions --username="$user" --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 \
    --set listen_addresses='*' "$data"
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\";" | postgres --single -F -D "$data" postgres
  fi
fi
exec "$@"
