#pragma once

#include <string_view>

// What runs on a linux.nftables device. Each script is a constant for POSIX sh without single
// quotes, called as: /bin/sh -c '<script>' yagura <job> <checked words>. Files of a job, in
// /run/yagura/<job>: candidate.nft, saved.nft, revert.sh, load.sh, armed/, timer, load.exit,
// loaded.nft, verdict (a symlink: who makes it first decides), restore.exit, log.
namespace yagura::config::nft {

// Exit codes of the scripts below.
inline constexpr int kExitFiles = 90;
inline constexpr int kExitArmed = 91;
inline constexpr int kExitTransfer = 92;
inline constexpr int kExitChanged = 93;
inline constexpr int kExitNotRestorable = 94;
inline constexpr int kExitInvalid = 95;
inline constexpr int kExitTimer = 96;

inline constexpr std::string_view kFetch =
    "LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH\n"
    "exec nft -s list ruleset\n";

inline constexpr std::string_view kVersion =
    "LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH\n"
    "nft --version && uname -sr\n";

// $2 SHA-256 of the candidate on standard input, $3 SHA-256 of what must run now. The folder of the
// job appears whole or not at all, and is never replaced: a try that we lost sight of may still
// run.
inline constexpr std::string_view kPrepare = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
umask 077
dir=/run/yagura/$1
mkdir -p /run/yagura || exit 90
[ -d "$dir/armed" ] && exit 91
job=$dir
dir=$(mktemp -d "$job.XXXXXX") || exit 90
trap "rm -rf $dir" EXIT
cat > "$dir/candidate.nft" || exit 90
[ "$(sha256sum < "$dir/candidate.nft" | cut -c1-64)" = "$2" ] || exit 92
[ "$(nft -s list ruleset | sha256sum | cut -c1-64)" = "$3" ] || exit 93
echo "flush ruleset" > "$dir/saved.nft" && nft list ruleset >> "$dir/saved.nft" || exit 90
nft -c -f "$dir/saved.nft" || exit 94
nft -c -f "$dir/candidate.nft" || exit 95
cat > "$dir/revert.sh" <<"END" || exit 90
# The dead-man timer: $1 folder, $2 seconds, $3 "now" where we were told to go back.
dir=$1
[ "$3" = now ] || echo $$ > "$dir/timer"
sleep "$2"
ln -s reverted "$dir/verdict" 2> /dev/null ||
  { [ "$3" = now ] && [ "$(readlink "$dir/verdict")" = reverted ]; } || exit 0
exit=1
for try in 1 2 3 4 5 6 7 8 9 10; do
  if nft -f "$dir/saved.nft" >> "$dir/log" 2>&1; then exit=0; break; fi
  sleep 1
done
echo "$(date -u +%FT%TZ) restored the saved rule set, exit $exit" >> "$dir/log"
echo $exit > "$dir/restore.new" && mv "$dir/restore.new" "$dir/restore.exit"
END
cat > "$dir/load.sh" <<"END" || exit 90
# $1 folder, $2 SHA-256 of what must run now.
dir=$1
if [ "$(nft -s list ruleset | sha256sum | cut -c1-64)" = "$2" ]; then
  nft -f "$dir/candidate.nft" >> "$dir/log" 2>&1
  exit=$?
else
  exit=93
fi
nft -s list ruleset > "$dir/loaded.nft"
[ $exit = 0 ] || ln -s notloaded "$dir/verdict"
echo "$(date -u +%FT%TZ) loaded the candidate, exit $exit" >> "$dir/log"
echo $exit > "$dir/load.new" && mv "$dir/load.new" "$dir/load.exit"
END
echo "$(date -u +%FT%TZ) prepared" >> "$dir/log"
mv -T "$dir" "$job" 2> /dev/null || [ -s "$job/load.sh" ] || exit 90
)sh";

// $2 seconds, $3 SHA-256 of what must run now. Both parts get sessions of their own, so that they
// live on when the connection does not.
inline constexpr std::string_view kArmAndLoad = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
umask 077
dir=/run/yagura/$1
[ -s "$dir/load.sh" ] || exit 90
mkdir "$dir/armed" || exit 91
echo "$(date -u +%FT%TZ) armed for $2 s" >> "$dir/log"
setsid /bin/sh "$dir/revert.sh" "$dir" "$2" timer < /dev/null > /dev/null 2>&1 &
tries=0
until [ -s "$dir/timer" ]; do
  tries=$((tries + 1))
  [ $tries -gt 200 ] && exit 96
  sleep 0.02
done
setsid /bin/sh "$dir/load.sh" "$dir" "$3" < /dev/null > /dev/null 2>&1 &
)sh";

inline constexpr std::string_view kInspect = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
dir=/run/yagura/$1
[ -d "$dir" ] || exit 0
echo "present"
[ -d "$dir/armed" ] && echo "armed"
[ -L "$dir/verdict" ] && echo "verdict $(readlink "$dir/verdict")"
[ -e "$dir/load.exit" ] && echo "load $(cat "$dir/load.exit")" &&
  echo "loaded $(sha256sum < "$dir/loaded.nft" | cut -c1-64)"
[ -e "$dir/restore.exit" ] && echo "restore $(cat "$dir/restore.exit")"
echo "log"
[ -e "$dir/log" ] && tail -c 8192 "$dir/log"
exit 0
)sh";

inline constexpr std::string_view kConfirm = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
dir=/run/yagura/$1
[ -d "$dir" ] || exit 90
ln -s confirmed "$dir/verdict" 2> /dev/null &&
  echo "$(date -u +%FT%TZ) confirmed" >> "$dir/log"
readlink "$dir/verdict"
)sh";

// Takes the place that kArmAndLoad would take.
inline constexpr std::string_view kAbandon = R"sh(
PATH=/usr/sbin:/usr/bin:/sbin:/bin
dir=/run/yagura/$1
[ -d "$dir" ] || exit 0
mkdir "$dir/armed" 2> /dev/null || exit 91
ln -s notloaded "$dir/verdict"
)sh";

inline constexpr std::string_view kRestore = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
dir=/run/yagura/$1
[ -s "$dir/revert.sh" ] || exit 90
setsid /bin/sh "$dir/revert.sh" "$dir" 0 now < /dev/null > /dev/null 2>&1 &
)sh";

// $2 path, $3 SHA-256 of the text on standard input.
inline constexpr std::string_view kPersist = R"sh(
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH
umask 077
cat > "$2.yagura-new" || exit 90
[ "$(sha256sum < "$2.yagura-new" | cut -c1-64)" = "$3" ] || exit 92
[ -e "$2" ] && chmod --reference="$2" "$2.yagura-new"
sync "$2.yagura-new" && mv "$2.yagura-new" "$2" || exit 90
)sh";

inline constexpr std::string_view kForget = R"sh(
PATH=/usr/sbin:/usr/bin:/sbin:/bin
rm -rf "/run/yagura/$1" "/run/yagura/$1".*
)sh";

}  // namespace yagura::config::nft
