#!/usr/bin/env python3
# .ci/forward_headers.py -- makes <flash/...> work in the build tree: one forwarding header for each
# public header, plus flash/<group>.h for the headers that users include by name.
"""usage: forward_headers.py SOURCE_ROOT INCLUDE_DIR HEADER..."""
import pathlib
import sys

root, include = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "flash"
headers = sys.argv[3:]


def shortcuts(headers):
    """flash/flash.h, flash/nn.h, flash/train.h …: a folder's header of its own name, or flash.h."""
    for header in headers:
        path = pathlib.PurePosixPath(header)
        if path.name == "flash.h" or path.stem == path.parent.name:
            yield path.name, header


def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


wanted = {}
for header in headers:
    wanted[header] = header
wanted.update(shortcuts(headers))
for name, header in wanted.items():
    if not (root / header).is_file():
        sys.exit(f"forward_headers: {header} is listed as a public header, but does not exist")
    write(include / name, f'#pragma once\n#include "{(root / header).as_posix()}"\n')
for old in include.rglob("*.h"):
    if old.relative_to(include).as_posix() not in wanted:
        old.unlink()
