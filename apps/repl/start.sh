#!/usr/bin/env bash
# apps/repl/start.sh -- clang-repl or cling with Flash loaded: headers, library, using flash
#
# usage: start.sh BUILD_DIR [clang-repl|cling]; without a name, the first that is there
# Exits with 77 when there is none, and says how to get it.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
build=$(realpath "$1")
which=${2:-}

clang_repl() { command -v clang-repl-19 || command -v clang-repl; }
if [[ -z $which ]]; then
  if clang_repl >/dev/null || ! [[ -x $build/repl/cling-prompt ]]; then
    which=clang-repl
  else
    which=cling
  fi
fi

edit=()  # line editing for a prompt that has none of its own
case $which in
  clang-repl)
    if ! repl=$(clang_repl); then
      echo "repl: there is no clang-repl; install Debian's clang-tools-19" >&2
      exit 77
    fi
    guard=$build/repl/clang_repl_guard.so
    if [[ $here/clang_repl_guard.cpp -nt $guard ]]; then
      mkdir -p "$build/repl"
      "${CXX:-c++}" -std=c++20 -O1 -fPIC -shared "$here/clang_repl_guard.cpp" -o "$guard"
    fi
    # Destructors of the session's objects must run before their code goes, and so not by atexit.
    exec env LD_PRELOAD="$build/libflash.so:$guard" "$repl" \
      -Xcc=-std=c++20 -Xcc=-fexceptions -Xcc=-fno-use-cxa-atexit \
      -Xcc=-I"$build/include" -Xcc=-include -Xcc="$here/prelude.h"
    ;;
  cling)
    if ! [[ -x $build/repl/cling-prompt ]]; then
      echo "repl: there is no cling; get it with: $here/setup_cling.sh $build" >&2
      exit 77
    fi
    if [[ -t 0 ]] && command -v rlwrap >/dev/null; then edit=(rlwrap); fi
    exec env LD_LIBRARY_PATH="$build/repl/cling-lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
      CLING_STANDARD_PCH=none EXTRA_CLING_ARGS="-std=c++20 -O1 -I$build/include" \
      "${edit[@]}" env LD_PRELOAD="$build/libflash.so" \
      "$build/repl/cling-prompt" "$here/prelude.h"
    ;;
  *)
    echo "repl: clang-repl or cling, not '$which'" >&2
    exit 2
    ;;
esac
