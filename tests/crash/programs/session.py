"""Writes and publishes in sessions of SQLAlchemy: `session URL NAME`; says what it committed.

With `stop` as a third word it stands still within its third commit, when all is written and nothing committed.
"""

import sys

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from tests.crash.programs.talk import say
from tidings import App
from tidings.integrations.sqlalchemy import Outbox


def main(url: str, name: str, stop: str = "") -> None:
    app = App("till", url)
    app.sync.open()
    engine = create_engine(url.partition("?")[0], connect_args={"timeout": 60})
    outbox = Outbox(app, engine)
    with Session(engine) as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS own(id TEXT)"))
        session.commit()
        number = 0
        while True:
            number += 1
            session.execute(text("INSERT INTO own VALUES (:id)"), {"id": f"{name}:{number}"})
            outbox.publish(session, "coin:noted", {"number": number}, id=f"{name}:{number}")
            if stop and number == 3:
                event.listen(engine, "commit", stand_still)
            session.commit()
            say("committed", f"{name}:{number}")


def stand_still(connection: object) -> None:
    say("written")
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
