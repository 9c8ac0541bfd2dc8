#!/usr/bin/env python3
# tests/devices/run_on.py -- runs a test program with its tensors on another device than the CPU
"""usage: run_on.py FLASH DEVICE NAME PROGRAM [ARGS...]

FLASH is the command, which says whether DEVICE is there; without it the test is skipped (exit 77).
NAME chooses the rows of cpu_only.txt: test cases that are left out, each with its reason."""
import os
import pathlib
import re
import subprocess
import sys

TABLE = pathlib.Path(__file__).with_name("cpu_only.txt")


def left_out(name, device):
    """The patterns of test cases that don't run, for doctest."""
    patterns = []
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 4 or not all(fields):
            sys.exit(f"{TABLE}:{number}: want PROGRAM | DEVICES | TEST CASE | REASON")
        program, kinds, case, _ = fields
        if program == name and (kinds == "all" or device.split(":")[0] in kinds.split()):
            patterns.append(case.replace("\\", "\\\\").replace(",", "\\,"))
    return patterns


def main():
    flash, device, name, program, *args = sys.argv[1:]
    shown = subprocess.run([flash, "devices"], capture_output=True, text=True, check=True).stdout
    if not re.search(rf"^{re.escape(device)}\b", shown, re.MULTILINE):
        print(f"skipped: {device} is not here. `flash devices` says:\n{shown}")
        return 77
    patterns = left_out(name, device)
    if patterns:  # doctest takes the last of such options
        patterns += [a.removeprefix("-tce=") for a in args if a.startswith("-tce=")]
        args.append("-tce=" + ",".join(patterns))
    env = dict(os.environ, FLASH_DEVICE=device)
    return subprocess.run([program, *args], env=env, check=False).returncode


sys.exit(main())
