#!/usr/bin/env python3
# tests/repl/check_repl.py -- types the sessions of docs/repl.md into clang-repl and cling
"""usage: check_repl.py BUILD_DIR SOURCE_DIR

Prints TAP. Lines of the page's ```cling and ```clang-repl blocks that begin with `> ` are typed;
what follows them must be the answer, where `...` stands for anything, also for further lines. All
blocks of an interpreter are one session, which ends with the lines of BESIDE_THE_PAGE.
"""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from installation import plan, say, skip  # noqa: E402

build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
END = "-- end of the answer --"
BESIDE_THE_PAGE = {
    "cling": [(["int two = 2;", "/* a bracket in a comment: (", "   */ two /* [ */"], ["(int) 2"])],
}


def exchanges(repl):
    """(typed lines, the answer's lines) of the page, in order."""
    page = (source / "docs" / "repl.md").read_text()
    for block in re.findall(rf"^```{repl}\n(.*?)^```", page, re.M | re.S):
        typed, answer = [], []
        for line in block.splitlines():
            if line.startswith("> "):
                if answer:
                    yield typed, answer
                    typed, answer = [], []
                typed.append(line[2:])
            else:
                answer.append(line)
        yield typed, answer


def pattern(answer):
    text = "\n".join(answer)
    return re.compile(".*".join(re.escape(part) for part in text.split("...")), re.S)


def check(repl):
    start = [str(source / "apps" / "repl" / "start.sh"), str(build), repl]
    talk = [*exchanges(repl), *BESIDE_THE_PAGE.get(repl, [])]
    lines = []
    for typed, _ in talk:
        lines += [*typed, f'std::cout << "{END}" << std::endl;']
    done = subprocess.run(start, input="\n".join(lines) + "\n", text=True, timeout=200,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 77:
        return skip(done.stdout.strip())
    answers = [part.strip("\n") for part in done.stdout.split(END + "\n")]
    for i, (typed, answer) in enumerate(talk):
        given = answers[i] if i < len(answers) - 1 else "(the session was over)"
        say(f"{repl}: {typed[-1]}", bool(pattern(answer).fullmatch(given)),
            f"typed:\n{chr(10).join(typed)}\nwanted:\n{chr(10).join(answer)}\ngot:\n{given}")
    say(f"{repl} ends well", done.returncode == 0 and not answers[-1].strip(),
        f"exit status {done.returncode}\n{answers[-1]}")


for repl in ["clang-repl", "cling"]:
    check(repl)
plan()
