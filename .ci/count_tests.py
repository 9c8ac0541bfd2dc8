#!/usr/bin/env python3
# .ci/count_tests.py -- adds up what Meson's last test run saw: "N passed, N failed", in test cases
"""usage: count_tests.py BUILD_DIR STATUS_OF_MESON_TEST; exits with failure when anything failed"""
import json
import pathlib
import re
import sys

SUMMARY = re.compile(
    r"^\[doctest\] test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", re.MULTILINE)
TAP = re.compile(r"^1\.\.\d+$", re.MULTILINE)

log = pathlib.Path(sys.argv[1], "meson-logs", "testlog.json")
status = int(sys.argv[2])
passed = failed = 0
if log.is_file():
    for line in log.read_text().splitlines():
        run = json.loads(line)
        stdout = run.get("stdout", "")
        found = SUMMARY.findall(stdout)
        good = run["result"] in ("OK", "EXPECTEDFAIL")
        if run["result"] == "SKIP":
            print(f"skipped: {run['name']}")
            continue
        if found:
            run_passed = sum(int(f[1]) for f in found)
            run_failed = sum(int(f[2]) for f in found)
        elif TAP.search(stdout):
            run_passed = len(re.findall(r"^ok ", stdout, re.MULTILINE))
            run_failed = len(re.findall(r"^not ok ", stdout, re.MULTILINE))
        else:  # a program that died before its summary, or none of these
            run_passed, run_failed = int(good), 0
        if not good and run_failed == 0:
            run_failed = 1
        passed += run_passed
        failed += run_failed
if passed + failed == 0:
    print("no test ran")
    status = status or 1
if status != 0 and failed == 0:
    failed = 1
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
