#!/usr/bin/env python3
# .ci/forward_headers.py -- makes <flash/...> work in the build tree, and short names when installed
"""usage: forward_headers.py SOURCE_ROOT BUILD_ROOT HEADER...

Writes one forwarding header for each public header into BUILD_ROOT/include/flash/, and for the
short names flash/flash.h, flash/nn.h … both there and, with paths that fit an installation, into
BUILD_ROOT/include-installed/. Prints the latter's paths.
"""
import pathlib
import sys

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
headers = sys.argv[3:]


def shortcuts():
    """flash/flash.h, and flash/nn.h … for a folder's header that has the folder's name."""
    for header in headers:
        path = pathlib.PurePosixPath(header)
        if path.name == "flash.h" or path.stem == path.parent.name:
            yield path.name, header


def write(path, target):
    text = f'#pragma once\n#include "{target}"\n'
    if not path.exists() or path.read_text() != text:  # keep times, so that nothing is rebuilt
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_all(folder, wanted, prefix):
    for name, header in wanted.items():
        write(folder / name, prefix + header)
    for old in folder.rglob("*.h"):
        if old.relative_to(folder).as_posix() not in wanted:
            old.unlink()


for header in headers:
    if not (root / header).is_file():
        sys.exit(f"forward_headers: {header} is listed as a public header, but does not exist")
short = dict(shortcuts())
write_all(build / "include" / "flash", {h: h for h in headers} | short, root.as_posix() + "/")
write_all(build / "include-installed", short, "")
print("\n".join((build / "include-installed" / name).as_posix() for name in short))
