"""`python -m benchmarks.brokers [--quick] [--write] [question ...]`: every question of every carrier, in one table.

A question is named whole (`latency-kafka`), by what is asked (`latency`) or by its carrier (`kafka`).
"""

import importlib
import sys
from pathlib import Path

from benchmarks.command import Command
from benchmarks.harness import Question

CARRIERS = ("redis", "nats", "kafka", "rabbitmq")
ASKED = ("consuming", "publishing", "latency", "workers")
QUESTIONS = tuple(f"{asked}-{carrier}" for asked in ASKED for carrier in CARRIERS)
PEERS = ("msgspec", "faststream", "hiredis", "redis", "nats-py", "aiokafka", "confluent-kafka", "aiormq", "aio-pika")
RESULTS = Path(__file__).with_name("results.md")


def find(name: str) -> Question:
    """The question of this name: what is asked, of which carrier."""
    asked, _, carrier = name.partition("-")
    of = importlib.import_module(f"benchmarks.brokers.{carrier}").CARRIER
    return importlib.import_module(f"benchmarks.brokers.{asked}").question(of)


if __name__ == "__main__":
    sys.exit(Command("python -m benchmarks.brokers", "make bench-brokers", QUESTIONS, find, RESULTS, PEERS).run())
