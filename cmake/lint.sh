#!/bin/sh
# Usage: lint.sh BUILD_DIR. Checks the format of all sources, the rule of who includes whom, the protos,
# and runs clang-tidy on the shipped sources (not tests) that changed since YAGURA_LINT_BASE (a commit; default: since four
# hours before the newest commit, or everything in a younger history).
set -eu
build=$1
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
failed=""

echo "clang-format"
git ls-files '*.cc' '*.h' | xargs clang-format --dry-run --Werror || failed="$failed clang-format"

echo "dependency rule"
python3 tests/unit/dependency_rule_test.py || failed="$failed dependency-rule"

echo "buf lint"
buf=$(sh cmake/install-buf.sh)
(cd protos && "$buf" lint) || failed="$failed buf"

base=${YAGURA_LINT_BASE:-}
if [ -z "$base" ]; then
  newest=$(git log -1 --format=%ct)
  base=$(git rev-list -1 --before="$((newest - 14400))" HEAD)
fi
if [ -n "$base" ]; then
  files=$(git diff --name-only --diff-filter=d "$base" -- 'common/*.cc' 'services/*.cc' 'cli/*.cc')
else
  files=$(git ls-files 'common/*.cc' 'services/*.cc' 'cli/*.cc')
fi
files=$(for f in $files; do grep -q "\"file\": \".*/$f\"" "$build/compile_commands.json" && echo "$f"; done || true)
echo "clang-tidy on $(echo "$files" | grep -c . || true) files"
if [ -n "$files" ]; then
  echo "$files" | xargs -P "$(nproc)" -n 4 clang-tidy-16 --quiet -p "$build" \
    --extra-arg=-Wno-unknown-warning-option 2>/dev/null || failed="$failed clang-tidy"
fi

[ -z "$failed" ] || { echo "lint failed:$failed"; exit 1; }
echo "lint passed"
