"""What a command line of questions does: ask all, or those that are named, print one table, and keep it if told so."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.harness import Question, ask
from benchmarks.kept import Asked, kept_in, report
from benchmarks.table import lines_of, measured, preamble


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
        found: dict[str, Asked] = {}
        about = preamble(self.peers)
        for name in self._chosen(options.questions):
            began = monotonic()
            question = self.find(name)
            if question.left_out is not None:
                print(f"{name}: left out, as {question.left_out}", file=sys.stderr, flush=True)
                continue
            size = options.size or (question.quick_size if options.quick else question.size)
            rounds = options.rounds or (1 if options.quick else question.rounds)
            answer = ask(question, size=size, rounds=rounds)
            found[name] = Asked(lines_of(question, answer), measured(name, size, rounds, answer.foreign))
            print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if options.write:
                self._keep(about, found)
        print(report(about, found.values()))
        return 0

    def _keep(self, about: str, found: dict[str, Asked]) -> None:
        """Renew the lines of what was asked, after each question; all others stay as they were measured."""
        rows = {name: [row.asks for row in self.find(name).rows] for name in self.questions}
        known = kept_in(self.results, about, rows) | found
        table = report(about, [known[name] for name in self.questions if name in known])
        self.results.write_text(f"# What `{self.made_by}` measured\n\n{table}", "utf-8")

    def _chosen(self, asked: Sequence[str]) -> list[str]:
        return [name for name in self.questions if not asked or {name, *name.split("-")} & set(asked)]

    def _options(self) -> argparse.Namespace:
        known = dict.fromkeys(part for name in self.questions for part in (name, *name.split("-")))
        parser = argparse.ArgumentParser(prog=self.program, description=__doc__)
        parser.add_argument("questions", nargs="*", metavar="question", help=f"of: {', '.join(self.questions)}")
        parser.add_argument("--quick", action="store_true", help="one small round each: does everything run?")
        parser.add_argument("--rounds", type=int, help="so many rounds a contender")
        parser.add_argument("--size", type=int, help="so much to do a round, as events")
        parser.add_argument("--write", action="store_true", help=f"renew these lines in {self.results.name}")
        options = parser.parse_args()
        unknown = set(options.questions) - known.keys()
        if unknown:
            parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return options
