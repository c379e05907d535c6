#!/bin/sh
# Fetches buf (npm package @bufbuild/buf) once into the user's cache and prints the path of its program.
set -eu
version=1.75.0
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache="${XDG_CACHE_HOME:-$home/.cache}/yagura/buf/$version"
if [ ! -x "$cache/buf" ]; then
  package="@bufbuild/buf-linux-$(uname -m | sed 's/x86_64/x64/')@$version"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm pack --loglevel=error "$package" >/dev/null && tar -xzf ./*.tgz) || {
    echo "install-buf: $package could not be fetched (npm says why above). Check that this machine reaches" >&2
    echo "install-buf: the npm registry ($(npm config get registry)), or put buf at $cache/buf" >&2
    exit 1
  }
  mkdir -p "$cache"
  install -m 755 "$work/package/bin/buf" "$cache/buf.new"
  mv "$cache/buf.new" "$cache/buf"
fi
echo "$cache/buf"
