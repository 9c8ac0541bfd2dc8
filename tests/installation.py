# tests/installation.py -- for tests that use Flash as a stranger does: TAP, and an installation
"""Tests that print TAP import this: `say`, `report`, `plan` write it; `Installation` is a copy."""
import os
import pathlib
import subprocess
import sys

count = 0


def say(name, good, why=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("".join(f"# {line}\n" for line in why.splitlines()))
    sys.stdout.flush()
    return good


def report(name, done):
    return say(name, done.returncode == 0, done.stdout + done.stderr)


def skip(what):
    print(f"# skipped: {what}")


def plan():
    print(f"1..{count}")


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


class Installation:
    """Flash installed from a build folder into a scratch one; None where that failed."""

    def __init__(self, build, scratch):
        root = scratch / "root"
        self.good = report("meson install", run(
            ["meson", "install", "--no-rebuild", "-C", str(build)],
            env=dict(os.environ, DESTDIR=str(root))))
        if not self.good:
            return
        pc = next(root.rglob("flash.pc"))
        self.env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent),
                        PKG_CONFIG_SYSROOT_DIR=str(root))
        flags = run(["pkg-config", "--cflags", "--libs", "flash"], env=self.env)
        self.good = report("pkg-config flash", flags)
        self.flags = flags.stdout.split()
        self.lib = next((f[2:] for f in self.flags if f.startswith("-L")), None)
        self.include = next((f[2:] for f in self.flags if f.startswith("-I")), None)
        self.good = self.good and bool(self.lib and self.include)

    def headers(self):
        """As they are included: flash/flash.h, flash/core/tensor.h, ..."""
        return sorted(p.relative_to(self.include).as_posix()
                      for p in pathlib.Path(self.include, "flash").rglob("*.h"))

    def compile_flags(self):
        return [f for f in self.flags if not f.startswith(("-L", "-l"))]
