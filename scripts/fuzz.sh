#!/usr/bin/env bash
# Usage: fuzz.sh [MINUTES [PART]]
# Gives damaged and meaningless files to every reader, for so many minutes each (30 if not given), to
# readers whose name has PART in it. Prints how often each was run. The first failure ends it; what
# was tried is printed then. Memory is bounded inside of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$(python3 -c "print(int(float('${1:-30}') * 60))")
part=${2:-}
# Test target, test, and cases that take some seconds.
readers=(
  "files_mutation damaged_gguf 20000"
  "files_mutation damaged_safetensors 20000"
  "files_mutation damaged_ctranslate2 20000"
  "files_mutation bytes_without_sense 20000"
  "import_mutation damaged_whisper_folders 300"
  "import_mutation damaged_shards 5000"
  "import_mutation damaged_language_models 2000"
  "pairs_mutation damaged_pairs 200"
  "pairs_mutation damaged_pairs_of_others 200"
  "tokens_hostile any_bytes 2000"
  "tokens_hostile any_keys 2000"
  "inspect damaged_graphs 5000"
  "inspect fields_without_sense 5000"
  "hostile random_bytes 5000"
  "readers readers_never_panic 5000"
  "corpora readers_never_panic 5000"
)
target=${CARGO_TARGET_DIR:-target}
for reader in "${readers[@]}"; do
  read -r file test cases <<<"$reader"
  [[ "$file $test" == *"$part"* ]] || continue
  # Built with the workspace, as all tests are.
  program=$(cargo test --release --locked --workspace --no-run --test "$file" --message-format=json 2>/dev/null |
    python3 -c 'import json, sys
for line in sys.stdin:
    row = json.loads(line)
    if row.get("executable") and "test" in row["target"]["kind"]:
        print(row["executable"], row["manifest_path"].rsplit("/", 1)[0])')
  [[ -n $program ]] || { echo "$file is not built" >&2; exit 1; }
  read -r program folder <<<"$program"
  runs=0
  end=$((SECONDS + seconds))
  while ((SECONDS < end)); do
    said=$(cd "$folder" && PROPTEST_CASES=$cases "$program" --exact "$test" 2>&1) || { echo "$said" >&2; exit 1; }
    [[ $said == *"1 passed"* ]] || { echo "$file has no test $test" >&2; exit 1; }
    runs=$((runs + cases))
  done
  echo "$file $test: $runs executions in $seconds s, no failure"
done
