#!/usr/bin/env python3
# tests/docs/check_docs.py -- builds and runs what the pages show, against an installed Flash
"""usage: check_docs.py BUILD_DIR SOURCE_DIR COMPILER...

Prints TAP. A C++ block of a page is a whole program, or statements that are put into a main().
"""
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from installation import Installation, plan, report, run  # noqa: E402

build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
compiler = sys.argv[3:]


def blocks(page):
    """(line, text) of each ```cpp block."""
    text = page.read_text()
    for match in re.finditer(r"^```cpp\n(.*?)^```", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match[1]


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
            for line, text in blocks(page):
                name = f"{page.relative_to(source)}:{line}"
                program = scratch / "snippet.cpp"
                program.write_text(whole_program(text))
                binary = scratch / "snippet"
                if report(f"{name} compiles", run(
                        [*compiler, *strict, "-o", str(binary), str(program), *flash.flags,
                         f"-Wl,-rpath,{flash.lib}"])):
                    report(f"{name} runs", run([str(binary)], cwd=scratch, timeout=300))


main()
plan()
