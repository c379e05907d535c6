#!/bin/sh
# Fetches buf (npm package @bufbuild/buf) once into the user's cache and prints the path of its program.
set -eu
version=1.75.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/yagura/buf/$version"
if [ ! -x "$cache/buf" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm pack --silent "@bufbuild/buf-linux-$(uname -m | sed 's/x86_64/x64/')@$version" >/dev/null && tar -xzf ./*.tgz)
  mkdir -p "$cache"
  install -m 755 "$work/package/bin/buf" "$cache/buf.new"
  mv "$cache/buf.new" "$cache/buf"
fi
echo "$cache/buf"
