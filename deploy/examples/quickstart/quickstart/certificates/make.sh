#!/bin/sh
# A certificate authority of our own, and a certificate of the gateway signed by it. It runs with every start of the
# stack, so it makes only what is missing or about to expire.
set -eu
umask 077
root=/root-ca/root_ca.crt
gateway=/haproxy-certs/gateway.pem

if [ ! -s "$root" ]; then
  openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj "/CN=$SYSTEM_NAME root" \
    -keyout /keys/root_ca.key -out /keys/root_ca.crt
  # Whole or not at all, for who reads it at the same time.
  cp /keys/root_ca.crt "$root.part"
  chmod 644 "$root.part"
  mv "$root.part" "$root"
fi

if ! openssl x509 -in "$gateway" -noout -checkend 2592000; then
  openssl req -new -newkey rsa:2048 -noenc -subj "/CN=$SYSTEM_NAME" -keyout /tmp/gateway.key -out /tmp/gateway.csr
  printf 'subjectAltName=DNS:%s\n' "$SYSTEM_NAME" >/tmp/names
  openssl x509 -req -in /tmp/gateway.csr -CA "$root" -CAkey /keys/root_ca.key -days 90 -extfile /tmp/names \
    -out /tmp/gateway.crt
  cat /tmp/gateway.crt /tmp/gateway.key >"$gateway.part"
  # The user that HAProxy runs as in its image.
  chown 99:99 "$gateway.part"
  mv "$gateway.part" "$gateway"
fi
echo "certificates are in place"
