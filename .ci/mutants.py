#!/usr/bin/env python3
# .ci/mutants.py -- which test finds each of the faults that a build with -Dmutants=true can have
"""usage: mutants.py BUILD_DIR [FAULT...]

Runs the fuzzer and the table of operations with one fault at a time, and without any. Exits with
failure when a fault was found by neither, or something was found where there is no fault.
"""
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = "5000"  # as many as continuous integration runs
TABLE = "operation table*"
SECONDS = 900


def names():
    text = (ROOT / "core/mutants.cpp").read_text()
    listed = re.search(r"kNames\[\] = \{(.*?)\};", text, re.S)[1]
    return re.findall(r'"([a-z-]+)"', listed)


def run(fault, *command):
    """(exit status, output); a run that takes too long counts as a finding."""
    environment = dict(os.environ, FLASH_MUTANT=fault)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "too slow", ""
    return done.returncode, done.stdout + done.stderr


def by_fuzzer(build, fault):
    status, text = run(fault, build / "tests/fuzz/fuzz", "--programs", PROGRAMS, "--first")
    if status == 0:
        return None
    after = re.search(r"the first after (\d+) programs", text)
    why = re.search(r"^==== seed \d+: (.*)", text, re.M)
    return f"after {after[1] if after else '?'}: {why[1][:90] if why else status}"


def by_table(build, fault):
    status, text = run(fault, build / "tests/test_contract", f"-tc={TABLE}")
    if status == 0:
        return None
    failed = re.search(r"test cases:\s*\d+ \|\s*\d+ passed \|\s*(\d+) failed", text)
    return f"{failed[1]} test cases" if failed else f"exit status {status}"


def main():
    build, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    known = names()
    for fault in wanted:
        if fault not in known:
            sys.exit(f"mutants: there is no fault '{fault}'; there are: {', '.join(known)}")
    good = True
    print(f"{'fault':16} {'the fuzzer':106} the table of operations", flush=True)
    for fault in wanted or known:
        start = time.monotonic()
        fuzzer, table = by_fuzzer(build, fault), by_table(build, fault)
        good = good and bool(fuzzer or table) == (fault != "none")
        print(f"{fault:16} {fuzzer or '-':106} {table or '-'}  ({time.monotonic() - start:.0f} s)",
              flush=True)
    print("every fault was found" if good else "NOT every fault was found, or one where none is")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
