#!/bin/sh
# Usage: run.sh BUILD_DIR. Builds every bench, runs each, keeps the JSON in BUILD_DIR/bench/results and prints
# a table. Benches that measure whole processes beside a peer are the *.py files here; they print their own rows.
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
results="$build/bench/results"
mkdir -p "$results"
cmake --build "$build" --target benches
echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
for program in "$build"/bench/*_bench; do
  name=$(basename "$program")
  "$program" --benchmark_out="$results/$name.json" --benchmark_out_format=json \
    --benchmark_repetitions=5 --benchmark_report_aggregates_only=true >/dev/null 2>"$results/$name.log" ||
    { echo "$name failed"; tail -5 "$results/$name.log"; continue; }
  python3 "$here/table.py" "$results/$name.json"
done
for script in "$here"/*_peer.py; do
  [ -e "$script" ] || continue
  case $script in
    # From near the rate of a small machine on: an attempt at five minutes takes five minutes.
    */pipeline_peer.py) set -- --from 20000 --step 10000 --seconds 30 --minutes 5 ;;
    *) set -- ;;
  esac
  python3 "$script" --build-dir "$build" --results "$results" "$@"
done
