#!/bin/sh
# Usage: sanitizer-reports.sh FOLDER. Prints what sanitizers wrote into the folder; 1 where there is any.
set -eu
[ -d "$1" ] || exit 0
found=0
for report in "$1"/*; do
  [ -s "$report" ] || continue
  found=1
  echo "== $report"
  head -n 120 "$report"
done
exit "$found"
