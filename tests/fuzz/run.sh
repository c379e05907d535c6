#!/bin/sh
# Usage: run.sh BUILD_DIR. Lets every fuzz target search for FUZZ_SECONDS (60) and prints what each of
# them did; FUZZ_TARGETS names some of them only, FUZZ_JOBS run at once (all cores). What they learn
# stays in BUILD_DIR/fuzz/corpus for the next run, inputs that break something go to
# BUILD_DIR/fuzz/findings. Ends with 1 where something was found.
set -eu
build=$1
: "${FUZZ_SECONDS:=60}" "${FUZZ_JOBS:=$(nproc)}" "${FUZZ_TARGETS:=$(cut -d ' ' -f 1 "$build/fuzz/table")}"
symbolizer=$(command -v llvm-symbolizer-16 || true)
[ -z "$symbolizer" ] || export ASAN_SYMBOLIZER_PATH="$symbolizer"
mkdir -p "$build/fuzz/corpus" "$build/fuzz/findings" "$build/fuzz/logs"

run_one() {
  name=$1
  line=$(grep "^$name " "$build/fuzz/table") || { echo "There is no fuzz target $name."; return 1; }
  # shellcheck disable=SC2086
  set -- $line
  log="$build/fuzz/logs/$name"
  mkdir -p "$build/fuzz/corpus/$name"
  dictionary=""
  [ "$4" = "-" ] || dictionary="-dict=$4"
  status=ok
  # A single input may take 5 s and 1 GiB.
  # shellcheck disable=SC2086
  "$build/fuzz/$name" -max_total_time="$FUZZ_SECONDS" -max_len="$2" -timeout=5 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="$build/fuzz/findings/$name-" $dictionary \
    "$build/fuzz/corpus/$name" "$3" > "$log" 2>&1 || status="FOUND SOMETHING, see $log"
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  inputs=$(find "$build/fuzz/corpus/$name" -type f | wc -l)
  printf '%-24s %10s runs  %6s edges  %6s inputs  %s\n' "$name" "${runs:-?}" "${covered:-?}" "$inputs" "$status"
  [ "$status" = ok ]
}

if [ "${2:-}" = one ]; then
  run_one "$3"
  exit
fi
echo "Each of $(echo "$FUZZ_TARGETS" | wc -w) fuzz targets searches for $FUZZ_SECONDS s, $FUZZ_JOBS at once"
export FUZZ_SECONDS
# shellcheck disable=SC2086
if printf '%s\n' $FUZZ_TARGETS | xargs -P "$FUZZ_JOBS" -I NAME sh "$0" "$build" one NAME; then
  echo "Nothing found"
else
  echo "Inputs that break something are in $build/fuzz/findings. Add the smallest to the corpus of its target, and mend."
  exit 1
fi
