"""`python -m benchmarks [--quick] [--write] [question ...]`: ask all questions, or those named, and print one table."""

import importlib
import sys
from pathlib import Path

from benchmarks.command import Command
from benchmarks.harness import Question

QUESTIONS = (
    "emitter_sync",
    "emitter_async",
    "append_one",
    "append_unflushed",
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
PEERS = ("msgspec", "eventsourcing", "faststream", "pyee", "blinker")
RESULTS = Path(__file__).with_name("results.md")


def find(name: str) -> Question:
    """The question of this name, which is its file's."""
    return importlib.import_module(f"benchmarks.{name}").QUESTION


if __name__ == "__main__":
    sys.exit(Command("python -m benchmarks", "make bench", QUESTIONS, find, RESULTS, PEERS).run())
