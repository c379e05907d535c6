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

cache="${XDG_CACHE_HOME:-$HOME/.cache}/yagura/chdb"
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
echo "install-libchdb: fetching $package@$version" >&2
(cd "$work" && npm pack --silent "$package@$version" >packed)
# npm has checked the archive against the registry's digest.
tar -xzf "$work/$(tail -n 1 "$work/packed")" -C "$work" package/libchdb.so
mkdir -p "$work/$version"
mv "$work/package/libchdb.so" "$work/$version/libchdb.so"
mv -T "$work/$version" "$cache/$version" 2>/dev/null || [ -s "$target" ] || {
  rm -rf "$cache/$version"
  mv -T "$work/$version" "$cache/$version"
}
echo "$target"
