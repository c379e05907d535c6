#!/bin/sh
# Installs what a fresh Debian 12 lacks. Usage: install-packages.sh SECTION...
# SECTIONs are those of packages.txt: build, test, lint, fuzz, bench. Does nothing, quickly, where all is there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
wanted=""
for section in "$@"; do
  wanted="$wanted $(sed -n "s/^$section //p" "$here/packages.txt" | tr '\n' ' ')"
done
# npm brings libchdb (and buf); a node that is already there is as good as Debian's.
command -v npm >/dev/null 2>&1 || wanted="$wanted nodejs npm"

missing=""
for package in $wanted; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "Missing packages; install them as root:" >&2
  echo "  apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "Installing:$missing"
# Packages must not start daemons of their own (redis-server, sshd, rsyslogd) on this machine.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  made_policy=yes
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
