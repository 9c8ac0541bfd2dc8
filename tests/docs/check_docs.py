#!/usr/bin/env python3
# tests/docs/check_docs.py -- builds and runs what the pages show, against an installed Flash
"""usage: check_docs.py BUILD_DIR SOURCE_DIR COMPILER...

Prints TAP. A C++ block of a page is a whole program, or statements that are put into a main().
"""
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from installation import Installation, plan, report, run, say, skip  # noqa: E402

build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
compiler = sys.argv[3:]


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
        flash = Installation(build, scratch)
        if not flash.good:
            return
        strict = ["-std=c++20", "-Wall", "-Wextra", "-Werror"]
        pages = [*sorted(source.glob("*.md")), *sorted((source / "docs").rglob("*.md"))]
        for page in pages:
            for line, language, text in blocks(page):
                name = f"{page.relative_to(source)}:{line}"
                if language == "console":  # with the program above it
                    for command, expected in commands(text):
                        env = dict(os.environ)
                        if " gdb " in command:
                            if not shutil.which("gdb"):
                                skip(f"there is no gdb for {command}")
                                continue
                            # Address sanitizer's search for leaks cannot run below a debugger.
                            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
                        made = run(["sh", "-c", command], cwd=scratch, timeout=300, env=env)
                        output = made.stdout + made.stderr
                        missing = prints(output, expected)
                        say(f"{name} $ {command[:60]}", missing is None,
                            f"no line {missing!r} in:\n{output}")
                    continue
                program = scratch / "snippet.cpp"
                program.write_text(whole_program(text))
                binary = scratch / "program"
                if report(f"{name} compiles", run(
                        [*compiler, *strict, "-o", str(binary), str(program), *flash.flags,
                         f"-Wl,-rpath,{flash.lib}"])):
                    report(f"{name} runs", run([str(binary)], cwd=scratch, timeout=300))


main()
plan()
