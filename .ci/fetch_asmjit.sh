#!/usr/bin/env bash
# .ci/fetch_asmjit.sh -- AsmJit's sources, at the wrap's revision, from Debian's source package
# (650 kB), through a private apt configuration that leaves the system's lists alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=subprojects/asmjit
revision=$(sed -n 's/^revision *= *//p' subprojects/asmjit.wrap)

overlay() { cp subprojects/packagefiles/asmjit/meson.build "$target/"; }
if [[ -f $target/src/asmjit/asmjit.h ]]; then
  cmp -s subprojects/packagefiles/asmjit/meson.build "$target/meson.build" || overlay
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{etc,lists/partial,cache/archives/partial,source}

# The machine's own sources, mirror, options and keys included, turned into deb-src entries.
shopt -s nullglob
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [[ -f $file ]] || continue
  sed -n 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$file" >>"$work/etc/flash.list"
done
for file in /etc/apt/sources.list.d/*.sources; do
  sed 's/^Types:.*/Types: deb-src/I' "$file" >"$work/etc/$(basename "$file")"
done
apt_options=(
  -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/etc"
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User="
)

echo "setup: getting AsmJit's sources (Debian's source package asmjit, 650 kB)"
apt-get "${apt_options[@]}" -qq update
(cd "$work/source" && apt-get "${apt_options[@]}" -qq source --download-only asmjit)
tarball=$(find "$work/source" -name 'asmjit_*.orig.tar.*' | head -n 1)
if [[ -z $tarball ]]; then
  echo "setup: the source package asmjit has no .orig.tar" >&2
  exit 1
fi
mkdir "$work/tree"
tar -xf "$tarball" -C "$work/tree" --strip-components=1

# Debian's version ends in the short revision (0.0~git20221210.5b5b0b3): build what the wrap names.
short=$(basename "$tarball" | sed -n 's/.*\.\([0-9a-f]\{7,\}\)\.orig.*/\1/p')
if [[ -z $short || $revision != "$short"* ]]; then
  echo "setup: here asmjit is at ${short:-an unknown revision}, but Flash builds $revision;" >&2
  echo "       get it with: meson subprojects download asmjit" >&2
  exit 1
fi
rm -rf "$target"
cp -r "$work/tree" "$target"
overlay
