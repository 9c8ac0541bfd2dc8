#!/usr/bin/env python3
# .ci/forward_headers.py -- makes <flash/...> work in the build tree, and short names when installed
"""usage: forward_headers.py SOURCE_ROOT INCLUDE_FLASH_DIR HEADER...

Writes one forwarding header for each public header, and for the short names flash/flash.h,
flash/nn.h …: a folder's header of the folder's name. Prints the headers that have a short name.
"""
import pathlib
import sys

root, include = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
headers = sys.argv[3:]

wanted = {}
for header in headers:
    path = pathlib.PurePosixPath(header)
    if not (root / path).is_file():
        sys.exit(f"forward_headers: {header} is listed as a public header, but does not exist")
    wanted[header] = header
    if path.name == "flash.h" or path.stem == path.parent.name:
        wanted[path.name] = header
        print(header)

for name, header in wanted.items():
    file = include / name
    text = f'#pragma once\n#include "{(root / header).as_posix()}"\n'
    if not file.exists() or file.read_text() != text:  # keep times, so that nothing is rebuilt
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
for old in include.rglob("*.h"):
    if old.relative_to(include).as_posix() not in wanted:
        old.unlink()
