#!/usr/bin/env python3
# tests/consumers/check_consumers.py -- programs outside of the tree, and what they get from Flash
"""usage: check_consumers.py BUILD_DIR SOURCE_DIR COMPILER...

Prints TAP. With the compiler of the build and, where there is one, the other of g++ and clang++:
main.cpp is built by hand with pkg-config, by CMake and by Meson against an installation; and once
by Meson with Flash as its subproject. The installed headers bring no macro but FLASH_..., no header
but C++'s own, and the library shows no symbol but Flash's.
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
consumers = source / "tests" / "consumers"
STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Werror"]


def compilers():
    """(name, command, flags); ccache may come first in the build's own."""
    programs = [c for c in compiler if not c.startswith("-")]
    flags = compiler[len(programs):]
    yield pathlib.Path(programs[-1]).name, programs, flags
    if flags:  # a sanitizer's run time is each compiler's own
        return
    is_clang = "clang" in run([programs[-1], "--version"]).stdout
    others = ["g++"] if is_clang else ["clang++", "clang++-19"]
    other = next((found for o in others if (found := shutil.which(o))), None)
    if other:
        yield pathlib.Path(other).name, [other], []
    else:
        skip(f"there is no {' or '.join(others)}, so nothing was built with it")


def headers(flash, scratch):
    alone = scratch / "headers.cpp"
    alone.write_text("".join(f"#include <{h}>\n" for h in flash.headers()))
    for name, command, flags in compilers():
        report(f"all public headers in one file, {name}", run(
            [*command, *flags, *STRICT, "-fsyntax-only", str(alone), *flash.compile_flags()]))

    done = run([*compiler, "-std=c++20", "-E", "-dD", str(alone), *flash.compile_flags()])
    if report("their macros are listed", done):
        names = macros(done.stdout, flash.include)
        leaked = sorted(n for n in names if not n.startswith("FLASH_"))
        say("every macro they leave defined begins with FLASH_",
            "FLASH_MODULE" in names and not leaked, "\n".join(leaked))

    strangers = []
    for header in flash.headers():
        path = pathlib.Path(flash.include, header)
        includes = re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', path.read_text(), re.M)
        for quote, name in includes:
            if quote == '"':
                good = (path.parent / name).is_file()
            elif name.startswith("flash/"):
                good = name in flash.headers()
            else:
                good = name in standard_headers()
            if not good:
                strangers.append(f"{header} includes {name}")
    say("they include each other and C++'s own headers alone", not strangers, "\n".join(strangers))


def macros(preprocessed, folder):
    """Names that files under `folder` define and do not undefine, from what -dD shows."""
    defined, inside = set(), False
    for line in preprocessed.splitlines():
        if mark := re.match(r'# \d+ "(.*?)"', line):
            inside = mark[1].startswith(folder)
        elif inside and (named := re.match(r"#(define|undef) (\w+)", line)):
            (defined.add if named[1] == "define" else defined.discard)(named[2])
    return defined


def standard_headers():
    """C++20's, as far as this compiler has them."""
    global _standard
    if _standard is None:
        done = run([*compiler, "-xc++", "-std=c++20", "-M", "-include", "vector", "/dev/null"])
        vector = next(p for p in done.stdout.replace("\\\n", " ").split() if p.endswith("/vector"))
        _standard = {p.name for p in pathlib.Path(vector).parent.iterdir() if not p.suffix}
    return _standard


_standard = None


def symbols(flash):
    library = next(pathlib.Path(flash.lib).glob("libflash.so"))
    shown = run(["nm", "-DC", "--defined-only", str(library)]).stdout.splitlines()
    names = [line.split(maxsplit=2)[2] for line in shown]
    api = re.compile(r"((typeinfo( name)?|vtable|VTT|guard variable) for )?flash::")
    leaks = [n for n in names if not api.match(n)]
    say(f"{len(names)} symbols shown, all of flash::", names and not leaks, "\n".join(leaks))


def by_hand(flash, scratch, name, command, flags):
    binary = scratch / f"by-hand-{name}"
    if report(f"{name} and pkg-config build a consumer", run(
            [*command, *flags, *STRICT, "-o", str(binary), str(consumers / "main.cpp"),
             *flash.flags, f"-Wl,-rpath,{flash.lib}"])):
        report("it runs", run([str(binary)]))


def by_cmake(flash, scratch, name, command, flags):
    if not shutil.which("cmake"):
        return skip("there is no cmake, so nothing was built with it")
    folder = scratch / f"cmake-{name}"
    if report(f"CMake and {name} find flash.pc", run(
            ["cmake", "-G", "Ninja", "-S", str(consumers / "cmake"), "-B", str(folder),
             f"-DCMAKE_CXX_COMPILER={command[-1]}", f"-DCMAKE_BUILD_RPATH={flash.lib}",
             f"-DCMAKE_CXX_FLAGS={' '.join(flags)}"], env=flash.env)):
        if report("a CMake consumer builds", run(["cmake", "--build", str(folder)])):
            report("it runs", run([str(folder / "consumer")]))


def by_meson(folder, what, project, name, env, arguments):
    """Sets up, builds and runs the project; a folder that was set up before is built again."""
    if not (folder / "build.ninja").is_file() and not report(
            f"Meson and {name} set a consumer up: {what}", run(
                ["meson", "setup", str(folder), str(project), *arguments], env=env)):
        return
    if report(f"a Meson consumer builds: {what}", run(["ninja", "-C", str(folder), "consumer"])):
        report("it runs", run([str(folder / "consumer")]))


def installed(flash, scratch, name, command, flags):
    by_meson(scratch / f"meson-{name}", "installed Flash", consumers / "meson", name,
             dict(flash.env, CXX=" ".join(command)),
             [f"-Dcpp_args={' '.join(flags)}",
              f"-Dcpp_link_args={' '.join([*flags, f'-Wl,-rpath,{flash.lib}'])}"])


def as_subproject():
    """A copy of the consumer with the tree as its subproject. All of the library is compiled for
    it, so this is done the quickest way, unoptimised and without the compiler of traces, and in a
    folder that stays."""
    name, command, flags = next(compilers())
    if flags:
        return skip("Flash as a subproject is built without sanitizers alone")
    where = build / "consumers" / name
    shutil.copytree(consumers, where, dirs_exist_ok=True)
    tree = where / "meson" / "subprojects" / "flash"
    tree.parent.mkdir(exist_ok=True)
    if not tree.is_symlink():
        tree.symlink_to(source)
    by_meson(where / "build", "Flash as a subproject", where / "meson", name,
             dict(os.environ, CXX=" ".join(command)),
             ["--force-fallback-for=flash", "-Doptimization=0", "-Ddebug=false",
              "-Dflash:asmjit=disabled", "-Dflash:apps=disabled", "-Dflash:bench=disabled"])


with tempfile.TemporaryDirectory() as folder:
    scratch = pathlib.Path(folder)
    flash = Installation(build, scratch)
    if flash.good:
        headers(flash, scratch)
        symbols(flash)
        for each in compilers():
            by_hand(flash, scratch, *each)
            by_cmake(flash, scratch, *each)
            installed(flash, scratch, *each)
as_subproject()
plan()
