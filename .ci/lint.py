#!/usr/bin/env python3
# .ci/lint.py -- what a compiler does not check: include graph, file headers, public headers, format
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 600
MAX_COLUMNS = 100

# A folder may include itself and what stands here; a path with a slash allows only that part.
MAY_INCLUDE = {
    "core": [],
    "jit": ["core"],
    "kernels": ["core", "jit/cache", "jit/emit", "jit/ir"],
    "nn": ["core"],
    "train": ["nn", "core"],
    "apps": ["train", "nn", "core"],  # and of these only public headers
}
# The one file that ties the folders together: it installs evaluators and devices.
TIES_ALL = {"train/flash.cpp"}
# Not in public headers: they must load fast, also in an interpreter, and bring no dependency.
PRIVATE_INCLUDE = re.compile(
    r"^(\w*mmintrin\.h|x86intrin\.h|arm_neon\.h|cpuid\.h|asmjit/|spdlog/|fmt/|nlohmann/|CLI/"
    r"|cblas|openblas|zlib\.h|stb_|dlfcn\.h|doctest/|regex$|iostream$|functional$|random$|chrono$"
    r"|filesystem$|thread$)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def tracked(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [p for p in sorted(set(out.split("\n"))) if p and (ROOT / p).is_file()]


def public_headers():
    """The lists called *_headers in the folders' meson.build files."""
    found = set()
    for build in tracked("*meson.build"):
        for block in re.findall(r"\w+_headers = \[(.*?)\]", (ROOT / build).read_text(), re.S):
            found.update(re.findall(r"'([^']+\.h)'", block))
    return found


def resolve(path, quote, name, public):
    """The repository path that an include names, or None when it is not one of Flash's files."""
    if quote == "<":
        if not name.startswith("flash/"):
            return None
        name = name.removeprefix("flash/")
        if name in public:
            return name
        return next((h for h in sorted(public) if pathlib.PurePosixPath(h).name == name), None)
    beside = (ROOT / path).parent / name
    if beside.is_file():
        return beside.resolve().relative_to(ROOT).as_posix()
    return name if (ROOT / name).is_file() else None


def check_header_line(path, lines):
    """`// path -- purpose` comes first, after the #! of scripts."""
    mark = "//" if path.endswith((".h", ".cpp")) else "#"
    at = 1 if lines and lines[0].startswith("#!") else 0
    want = f"{mark} {path} -- "
    if len(lines) <= at or not lines[at].startswith(want):
        problem(path, at + 1, f"the first line must read `{want}purpose`")


def check_text(path, lines):
    for n, line in enumerate(lines, 1):
        is_code = path.endswith((".h", ".cpp"))  # there clang-format decides
        if len(line) > MAX_COLUMNS and not is_code:
            problem(path, n, f"{len(line)} columns; at most {MAX_COLUMNS}")
        if line != line.rstrip():
            problem(path, n, "white space at the end of the line")
        if re.search(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", line):
            problem(path, n, "unfinished work belongs into an issue, not into the sources")
    if len(lines) > MAX_LINES:
        problem(path, len(lines), f"{len(lines)} lines; more than {MAX_LINES} hold two ideas")


def check_includes(path, lines, public):
    folder = path.split("/")[0]
    for n, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        target = resolve(path, quote, name, public)
        if path in public:
            if PRIVATE_INCLUDE.match(name):
                problem(path, n, f"public headers must not include <{name}>")
            if quote == '"':
                if not ((ROOT / path).parent / name).is_file():
                    problem(path, n, f'"{name}" must be relative to this file: it is installed')
                elif target not in public:
                    problem(path, n, f"a public header includes {target}, which is not public")
        if target is None or folder not in MAY_INCLUDE or path in TIES_ALL:
            continue
        other = target.split("/")[0]
        if other == folder:
            continue
        allowed = MAY_INCLUDE[folder]
        if not any(target.startswith(a + "/") for a in allowed):
            problem(path, n, f"{folder} must not include {target} (it may: {allowed or 'nothing'})")
        elif folder == "apps" and target not in public:
            problem(path, n, f"apps uses the public API only, and {target} is not public")


def check_links(path):
    """Relative links of a page lead somewhere; code between fences has none."""
    page = ROOT / path
    code = False
    for n, line in enumerate(page.read_text().split("\n"), 1):
        code ^= line.lstrip().startswith("```")
        if code:
            continue
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if "://" not in target and not (page.parent / target).exists():
                problem(path, n, f"the link to {target} leads nowhere")


def check_format(files):
    tool = shutil.which("clang-format")
    if not tool:
        print("lint: no clang-format here, formatting not checked (./dev format installs it)")
        return
    run = subprocess.run([tool, "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True,
                         text=True)
    seen = set()
    for line in run.stderr.splitlines():
        match = re.match(r"(.+?):(\d+):\d+: error:", line)
        if match and match[1] not in seen:  # the first place of each file is enough
            seen.add(match[1])
            problem(match[1], match[2], "not formatted; run ./dev format")


def main():
    public = public_headers()
    sources = tracked("*.h", "*.cpp")
    scripts = [p for p in tracked("*.py", "*.sh", "dev", ".ci/*") if not p.endswith(".in")]
    for path in sources + scripts:
        lines = (ROOT / path).read_text().split("\n")
        if lines and lines[-1] == "":
            lines.pop()
        check_header_line(path, lines)
        check_text(path, lines)
        if path in sources:
            check_includes(path, lines, public)
    for path in tracked("*.md"):
        check_links(path)
    if sources:
        check_format(sources)
    for line in problems:
        print(line)
    print(f"lint: {len(sources)} sources, {len(scripts)} scripts, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
