"""Writes and publishes in transactions of its own on the log's file: `existing URL NAME HOW`; says what it committed.

HOW is `joined` or `opened`: who begins the transaction. With `stop` as a fourth word it stands still before its third
commit, and says so.
"""

import sqlite3
import sys

from tests.crash.programs.talk import say
from tidings import App


def main(url: str, name: str, how: str, stop: str = "") -> None:
    app = App("till", url)
    app.sync.open()
    connection = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0], timeout=60, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS own(id TEXT)")
    number = 0
    while True:
        number += 1
        if how == "joined":
            connection.execute("BEGIN IMMEDIATE")
        with app.sync.transaction(existing=connection) as tx:
            tx.execute("INSERT INTO own VALUES (?)", (f"{name}:{number}",))
            tx.publish("coin:noted", {"number": number}, id=f"{name}:{number}")
            if stop and number == 3:
                say("written")
                sys.stdin.readline()
        if how == "joined":
            connection.execute("COMMIT")
        say("committed", f"{name}:{number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
