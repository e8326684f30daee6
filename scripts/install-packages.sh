#!/usr/bin/env bash
# Usage: install-packages.sh [COMMAND=]PACKAGE...
# Installs the Debian packages that are missing, as root or through sudo. With COMMAND=, a package
# counts as present when that command is found, wherever it came from.
set -euo pipefail

missing=()
for wanted in "$@"; do
  package=${wanted##*=}
  if [[ $wanted == *=* ]]; then
    command -v "${wanted%%=*}" >/dev/null && continue
  fi
  dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' && continue
  missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "Please install what this system calls: ${missing[*]} (names of Debian)" >&2
  exit 1
fi
if [[ $(id -u) -eq 0 ]]; then
  as_root=(env)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
elif command -v sudo >/dev/null && [[ -t 0 && -t 1 ]]; then
  as_root=(sudo)
else
  echo "System packages are missing. Please run:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing system packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
