#!/usr/bin/env python3
# .ci/fuzz_files.py -- runs libFuzzer over the readers of files, and sums up what it saw
"""usage: fuzz_files.py BUILD_DIR [NAME...] [--seconds S] [--jobs N]

What is found lies in BUILD_DIR/found/NAME/, the corpus that grows from run to run in
BUILD_DIR/corpus/NAME/, each program's output in BUILD_DIR/logs/NAME.log. Exits with failure when
anything was found.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

NAMES = ["idx", "gz", "npy", "npz", "safetensors", "trace", "checkpoint", "image", "kernel_entry"]
LIMITS = [
    "-timeout=10",  # seconds for one file
    "-rss_limit_mb=2560",
    "-malloc_limit_mb=1024",
    "-max_len=4096",
    "-entropic=0",  # its bookkeeping takes longer than the small files do
    "-detect_leaks=1",
]
PROGRESS_EVERY = 30  # seconds
STATUS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+)")
FINAL = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)


class Run:
    """One program, from its start to its sum."""

    def __init__(self, build, name, seconds):
        self.build, self.name, self.seconds = build, name, seconds
        self.program = build / "tests/files" / f"fuzz_{name}"
        self.corpus, self.found = build / "corpus" / name, build / "found" / name
        self.start_folder = build / "start" / name
        self.log = build / "logs" / f"{name}.log"
        for folder in (self.corpus, self.found, self.start_folder, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.before = set(self.found.iterdir())
        environment = dict(os.environ, FLASH_FUZZ_WRITE_SEEDS=str(self.start_folder))
        subprocess.run([self.program], env=environment, check=True)
        # Half as fast again; a finding that is run by hand says where its memory came from.
        environment = {"ASAN_OPTIONS": "malloc_context_size=2:quarantine_size_mb=8", **os.environ}
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.program, self.corpus, self.start_folder / "seeds",
                 f"-dict={self.start_folder / 'words'}", f"-artifact_prefix={self.found}/",
                 f"-max_total_time={seconds}", "-print_final_stats=1", *LIMITS],
                stdout=log, stderr=subprocess.STDOUT, env=environment)

    def progress(self):
        executions, coverage = 0, 0
        for line in self.log.read_text(errors="replace").splitlines():
            match = STATUS.match(line)
            if match:
                executions, coverage = int(match[1]), int(match[2])
        passed = int(time.monotonic() - self.began)
        print(f"{self.name}: {passed} of {self.seconds} s, more than {executions} executions, "
              f"{coverage} edges covered", flush=True)

    def sum(self):
        """Prints the outcome; the number of findings."""
        text = self.log.read_text(errors="replace")
        final = {key: int(value) for key, value in FINAL.findall(text)}
        seconds = int(time.monotonic() - self.began)
        found = sorted(set(self.found.iterdir()) - self.before)
        findings = max(len(found), 0 if self.process.returncode == 0 else 1)
        print(f"{self.name}: {final.get('number_of_executed_units', 0)} executions, {seconds} s, "
              f"{final.get('new_units_added', 0)} new coverage units, {findings} findings",
              flush=True)
        if findings:
            for line in text.splitlines():
                if re.search(r"FINDING: |ERROR: |runtime error: |SUMMARY: ", line):
                    print(f"  {line}")
            for path in found:
                print(f"  kept: {path}")
                print(f"  again: {self.program} {path}")
            print(f"  log: {self.log}", flush=True)
        return findings


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz-files")
    parser.add_argument("build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {' '.join(NAMES)} (all)")
    parser.add_argument("--seconds", type=int, default=600, help="for each (600)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (1)")
    parser.add_argument("--list-targets", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    names = options.names or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"there is no format '{name}'; there are {' '.join(NAMES)}")
    if options.list_targets:  # what has to be built
        print("\n".join(f"tests/files/fuzz_{name}" for name in names))
        return 0
    waiting, running, findings = list(names), [], 0
    next_progress = time.monotonic() + PROGRESS_EVERY
    try:
        while waiting or running:
            while waiting and len(running) < max(options.jobs, 1):
                running.append(Run(options.build.resolve(), waiting.pop(0), options.seconds))
            time.sleep(0.5)
            if time.monotonic() >= next_progress:
                next_progress += PROGRESS_EVERY
                for run in running:
                    run.progress()
            for run in [r for r in running if r.process.poll() is not None]:
                running.remove(run)
                findings += run.sum()
    finally:
        for run in running:  # stopped by hand
            run.process.terminate()
    print(f"fuzz-files: {len(names)} formats, {findings} findings")
    return 1 if findings else 0


sys.exit(main())
