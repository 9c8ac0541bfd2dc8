#!/usr/bin/env python3
# tests/docs/check_docs.py -- installs Flash into a scratch folder and builds what the pages show
"""usage: check_docs.py BUILD_DIR SOURCE_DIR COMPILER...

Prints TAP. A C++ block of a page is a whole program, or statements that are put into a main().
Every public header must compile on its own from the installation.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
compiler = sys.argv[3:]
count = 0


def say(name, good, why=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("".join(f"# {line}\n" for line in why.splitlines()))
    sys.stdout.flush()
    return good


def report(name, run):
    return say(name, run.returncode == 0, run.stdout + run.stderr)


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def blocks(page):
    """(line, language, text) of each block of C++ or of a terminal."""
    text = page.read_text()
    for match in re.finditer(r"^```(cpp|console)\n(.*?)^```", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def commands(text):
    """(command, lines that its output must have, in this order) of a terminal's block."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = part.rstrip("\n").replace("\\\n", " ").split("\n")
        yield command, expected


def prints(output, expected):
    """The first line that is missing, or None."""
    lines = iter(output.splitlines())
    for wanted in expected:
        pattern = ".*".join(re.escape(piece) for piece in wanted.split("…"))
        if not any(re.search(pattern, line) for line in lines):
            return wanted
    return None


def whole_program(text):
    if re.search(r"\bint main\(", text):
        return text
    includes = "".join(line + "\n" for line in text.splitlines() if line.startswith("#include"))
    body = "".join(line + "\n" for line in text.splitlines() if not line.startswith("#include"))
    return (f"#include <flash/flash.h>\n#include <iostream>\n{includes}using namespace flash;\n"
            f"int main() {{\n{body}}}\n")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        env = dict(os.environ, DESTDIR=str(scratch / "root"))
        if not report("meson install", run(
                ["meson", "install", "--no-rebuild", "-C", str(build)], env=env)):
            return
        pc = next((scratch / "root").rglob("flash.pc"))
        env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent),
                   PKG_CONFIG_SYSROOT_DIR=str(scratch / "root"))
        flags = run(["pkg-config", "--cflags", "--libs", "flash"], env=env)
        if not report("pkg-config flash", flags):
            return
        flags = flags.stdout.split()
        lib = next(f[2:] for f in flags if f.startswith("-L"))
        include = next(f[2:] for f in flags if f.startswith("-I"))

        headers = sorted(p.relative_to(include).as_posix()
                         for p in pathlib.Path(include, "flash").rglob("*.h"))
        alone = scratch / "headers.cpp"
        strict = ["-std=c++20", "-Wall", "-Wextra", "-Werror"]
        alone.write_text("".join(f"#include <{h}>\n" for h in headers))
        report("all public headers in one file",
               run([*compiler, *strict, "-fsyntax-only", str(alone),
                    *(f for f in flags if not f.startswith(("-L", "-l")))]))

        library = next(pathlib.Path(lib).glob("libflash.so"))
        shown = run(["nm", "-DC", "--defined-only", str(library)]).stdout.splitlines()
        names = [line.split(maxsplit=2)[2] for line in shown]
        api = re.compile(r"((typeinfo( name)?|vtable|VTT|guard variable) for )?flash::")
        leaks = [n for n in names if not api.match(n)]
        say(f"{len(names)} symbols shown, all of flash::", names and not leaks, "\n".join(leaks))

        if shutil.which("cmake"):
            consumer = source / "tests" / "consumers" / "cmake"
            programs = [c for c in compiler if not c.startswith("-")]  # ccache may come first
            made = run(["cmake", "-G", "Ninja", "-S", str(consumer), "-B", str(scratch / "cmake"),
                        f"-DCMAKE_CXX_COMPILER={programs[-1]}", f"-DCMAKE_BUILD_RPATH={lib}",
                        f"-DCMAKE_CXX_FLAGS={' '.join(compiler[len(programs):])}"], env=env)
            if report("CMake finds flash.pc", made) and report("a CMake consumer builds", run(
                    ["cmake", "--build", str(scratch / "cmake")])):
                report("a CMake consumer runs", run([str(scratch / "cmake" / "consumer")]))
        else:
            print("# skipped: there is no cmake, so nothing was built with it")

        pages = [*sorted(source.glob("*.md")), *sorted((source / "docs").rglob("*.md"))]
        for page in pages:
            for line, language, text in blocks(page):
                name = f"{page.relative_to(source)}:{line}"
                if language == "console":  # with the program above it
                    for command, expected in commands(text):
                        if " gdb " in command and not shutil.which("gdb"):
                            print(f"# skipped: there is no gdb for {command}")
                            continue
                        made = run(["sh", "-c", command], cwd=scratch, timeout=300)
                        output = made.stdout + made.stderr
                        missing = prints(output, expected)
                        say(f"{name} $ {command[:60]}", missing is None,
                            f"no line {missing!r} in:\n{output}")
                    continue
                program = scratch / "snippet.cpp"
                program.write_text(whole_program(text))
                binary = scratch / "program"
                if report(f"{name} compiles", run(
                        [*compiler, *strict, "-o", str(binary), str(program), *flags,
                         f"-Wl,-rpath,{lib}"])):
                    report(f"{name} runs", run([str(binary)], cwd=scratch, timeout=300))


main()
print(f"1..{count}")
