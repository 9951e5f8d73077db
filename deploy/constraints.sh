#!/bin/sh
# Writes deploy/constraints.txt anew: every package that the project needs, pinned, transitively.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
pip="$folder/venv/bin/pip"
"$folder/venv/bin/python" - "$root/pyproject.toml" > "$folder/wanted.txt" <<'PY'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))
extras = project["project"]["optional-dependencies"]
print("\n".join(project["project"]["dependencies"] + [d for e in extras.values() for d in e] + project["build-system"]["requires"]))
PY
"$pip" install --quiet --requirement "$folder/wanted.txt"
{
  echo "# Every package at the version that is tested, transitively. Made by \`make constraints\`; do not edit."
  "$pip" freeze --exclude-editable
} > "$root/deploy/constraints.txt"
