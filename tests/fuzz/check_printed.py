#!/usr/bin/env python3
# tests/fuzz/check_printed.py -- what the fuzzer prints compiles, and does what the fuzzer did
"""usage: check_printed.py BUILD_DIR SANITIZER_FLAG COMPILER...; SANITIZER_FLAG may be empty

Prints random programs as C++, compiles them as a user would, and compares the values they print
with those that the fuzzer itself has. Answers in TAP.
"""
import pathlib
import subprocess
import sys
import tempfile

SEEDS = ["3", "17", "29", "58"]

build, sanitizer, compiler = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
fuzz = str(build / "tests/fuzz/fuzz")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


print("1..2")
with tempfile.TemporaryDirectory() as folder:
    source, program = pathlib.Path(folder, "printed.cpp"), str(pathlib.Path(folder, "printed"))
    source.write_text(output(fuzz, "--print", *SEEDS))
    flags = [sanitizer] if sanitizer else []
    compiled = subprocess.run(
        [*compiler, "-std=c++20", "-Wall", "-Wextra", *flags, f"-I{build / 'include'}", str(source),
         "-o", program, f"-L{build}", "-lflash", f"-Wl,-rpath,{build}"],
        capture_output=True, text=True)
    good = compiled.returncode == 0 and not compiled.stderr
    print(f"{'ok' if good else 'not ok'} 1 - printed programs compile without a warning")
    print("\n".join("# " + line for line in compiled.stderr.splitlines()[:40]))
    if compiled.returncode:
        print("not ok 2 - they have the fuzzer's values # not run")
        sys.exit(1)
    ran = subprocess.run([program], capture_output=True, text=True)
    want, got = output(fuzz, "--values", *SEEDS).splitlines(), ran.stdout.splitlines()
    same = ran.returncode == 0 and want == got and len(got) > 10
    print(f"{'ok' if same else 'not ok'} 2 - they have the fuzzer's values")
    for a, b in zip(want, got):
        if a != b:
            print(f"# the fuzzer: {a}\n# the program: {b}")
    print("\n".join("# " + line for line in ran.stderr.splitlines()[:40]))
    print(f"# {len(want)} values here, {len(got)} there, exit status {ran.returncode}")
    sys.exit(0 if good and same else 1)
