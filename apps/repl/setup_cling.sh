#!/usr/bin/env bash
# apps/repl/setup_cling.sh -- cling in a virtual environment of its own, and a prompt for it
#
# usage: setup_cling.sh BUILD_DIR; from PyPI: cppyy-cling, a download of 48 MB and 160 MB installed
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
dir=$1/repl
version=6.32.8  # clang 16; the two symbols in cling.cpp are what this one leaves out

backend() { ls -d "$dir"/cling/lib/python3*/site-packages/cppyy_backend 2>/dev/null; }
if ! [[ -f $(backend)/lib/libCling.so ]]; then
  echo "setup: installing cling into $dir/cling (PyPI's cppyy-cling $version, 48 MB)"
  rm -rf "$dir/cling"
  mkdir -p "$dir"
  /usr/bin/env python3 -m venv "$dir/cling"
  "$dir/cling/bin/pip" install --quiet --retries 1 --disable-pip-version-check \
    "cppyy-cling==$version"
fi
lib=$(backend)/lib
if [[ $here/cling.cpp -nt $dir/cling-prompt ]]; then
  "${CXX:-c++}" -std=c++17 -O1 -rdynamic -isystem "$(backend)/include" "$here/cling.cpp" \
    -o "$dir/cling-prompt" -L"$lib" -lCoreLegacy -lThreadLegacy -lRIOLegacy -Wl,-rpath,"$lib"
fi
ln -sfn "$(realpath --relative-to="$dir" "$lib")" "$dir/cling-lib"
