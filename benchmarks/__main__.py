"""`python -m benchmarks [--quick] [--write] [question ...]`: ask all questions, or those named, and print one table."""

import argparse
import importlib
import sys
from pathlib import Path
from time import monotonic

from benchmarks.harness import ask
from benchmarks.table import Line, lines_of, markdown, preamble

QUESTIONS = (
    "emitter_sync",
    "emitter_async",
    "append_one",
    "append_many",
    "append_batches",
    "catch_up",
    "catch_up_ten",
    "lineage",
    "catch_up_trimming",
    "projection",
    "services",
    "latency",
    "idle",
    "trickle",
    "backlog",
    "timers",
    "postgres",
    "command_line",
)
RESULTS = Path(__file__).with_name("results.md")


def main() -> int:
    """Print the table, and keep it with `--write`; always 0: a missed goal is a `no` in the table."""
    options = _options()
    lines: list[Line] = []
    foreign: dict[str, float] = {}
    for name in options.questions or QUESTIONS:
        began = monotonic()
        question = importlib.import_module(f"benchmarks.{name}").QUESTION
        answer = ask(question, quick=options.quick)
        lines += lines_of(question, answer)
        foreign[name] = answer.foreign
        print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    report = f"{preamble(command, foreign, quick=options.quick)}\n\n{markdown(lines)}\n"
    print(report)
    if options.write:
        RESULTS.write_text(f"# What `make bench` measured\n\n{report}", "utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="question", help=f"of: {', '.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="one small round each: does everything run?")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULTS.name}")
    options = parser.parse_args()
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
