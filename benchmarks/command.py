"""What a command line of questions does: ask all, or those that are named, print one table, and keep it if told so."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.harness import Question, ask
from benchmarks.table import Line, lines_of, markdown, preamble


@dataclass(frozen=True, slots=True)
class Command:
    """A list of questions, and where their table is kept."""

    program: str  # "python -m benchmarks"
    made_by: str  # "make bench"
    questions: Sequence[str]
    find: Callable[[str], Question]  # a question by its name
    results: Path
    peers: Sequence[str]  # packages whose versions matter

    def run(self) -> int:
        """Print the table, and keep it with `--write`; always 0: a missed goal is a `no` in the table."""
        options = self._options()
        lines: list[Line] = []
        foreign: dict[str, float] = {}
        rounds = set()
        for name in options.questions or self.questions:
            began = monotonic()
            question = self.find(name)
            answer = ask(question, quick=options.quick)
            lines += lines_of(question, answer)
            foreign[name] = answer.foreign
            rounds.add(question.rounds)
            print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        typed = " ".join([self.program, *sys.argv[1:]])
        how_often = "1 small round" if options.quick else f"{'–'.join(map(str, sorted(rounds)))} rounds"
        report = f"{preamble(typed, foreign, how_often, self.peers)}\n\n{markdown(lines)}\n"
        print(report)
        if options.write:
            self.results.write_text(f"# What `{self.made_by}` measured\n\n{report}", "utf-8")
        return 0

    def _options(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=self.program, description=__doc__)
        parser.add_argument("questions", nargs="*", metavar="question", help=f"of: {', '.join(self.questions)}")
        parser.add_argument("--quick", action="store_true", help="one small round each: does everything run?")
        parser.add_argument("--write", action="store_true", help=f"keep the table in {self.results.name}")
        options = parser.parse_args()
        unknown = set(options.questions) - set(self.questions)
        if unknown:
            parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(self.questions)}")
        return options
