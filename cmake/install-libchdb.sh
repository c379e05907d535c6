#!/bin/sh
# Puts libchdb (ClickHouse as a library, from npm) into the user's cache, where yagura-store finds it.
# Idempotent: a second run costs nothing. Several runs at once do no harm: the library appears whole,
# by rename. Prints the path of the library.
set -eu

version="26.7.3-stable.1"
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package="@chdb/lib-linux-x64-gnu" ;;
  Linux-aarch64) package="@chdb/lib-linux-arm64-gnu" ;;
  *)
    echo "install-libchdb: no libchdb for $(uname -s) $(uname -m)" >&2
    exit 1
    ;;
esac

home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache="${XDG_CACHE_HOME:-$home/.cache}/yagura/chdb"
target="$cache/$version/libchdb.so"
if [ -s "$target" ]; then
  echo "$target"
  exit 0
fi
command -v npm >/dev/null || {
  echo "install-libchdb: npm is needed to fetch $package" >&2
  exit 1
}

mkdir -p "$cache"
work="$(mktemp -d "$cache/.fetch.XXXXXX")"
trap 'rm -rf "$work"' EXIT INT TERM
echo "install-libchdb: fetching $package@$version (about 150 MB, once)" >&2
failed() {
  echo "install-libchdb: $package@$version could not be $1 (the reason stands above). Check that this machine" >&2
  echo "install-libchdb: reaches the npm registry ($(npm config get registry)) and has 1 GB free in $cache," >&2
  echo "install-libchdb: or put the file libchdb.so of that package at $target; then try again" >&2
  exit 1
}
(cd "$work" && npm pack --loglevel=error "$package@$version" >packed) || failed fetched
# npm has checked the archive against the registry's digest.
tar -xzf "$work/$(tail -n 1 "$work/packed")" -C "$work" package/libchdb.so || failed unpacked
mkdir -p "$work/$version"
mv "$work/package/libchdb.so" "$work/$version/libchdb.so"
mv -T "$work/$version" "$cache/$version" 2>/dev/null || [ -s "$target" ] || {
  rm -rf "$cache/$version"
  mv -T "$work/$version" "$cache/$version"
}
echo "$target"
