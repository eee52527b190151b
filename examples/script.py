"""A plain script: no event loop, no `await`, nothing to close. It counts words, keeps the counts, and tells of them.

$ python script.py some words to count some of
"""

import sys

from tidings import App, event


@event("words:counted")
class WordsCounted:
    words: int
    new: int


app = App("counter", "sqlite:///words.db")


def count(words: list[str]) -> WordsCounted:
    with app.sync.transaction() as tx:  # the counts and the event are committed together
        tx.execute("CREATE TABLE IF NOT EXISTS words(word TEXT PRIMARY KEY, count INTEGER)")
    with app.sync.transaction() as tx:
        known = {word for (word,) in tx.fetch("SELECT word FROM words")}
        tx.executemany(
            "INSERT INTO words VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1", [(word,) for word in words]
        )
        counted = WordsCounted(len(words), len(set(words) - known))
        tx.publish(counted)
    return counted


if __name__ == "__main__":
    counted = count(sys.argv[1:])
    print(f"{counted.words} words, {counted.new} of them new")
    app.sync.publish("words:done", {"arguments": len(sys.argv) - 1})
