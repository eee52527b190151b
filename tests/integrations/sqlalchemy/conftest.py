"""An application on a file, and an engine on the same one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event

from tests.handling.stage import AuditNoted, OrderCreated
from tests.integrations.sqlalchemy.stage import Base
from tidings import App
from tidings.integrations.sqlalchemy import Outbox


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated, AuditNoted])
    app.sync.open()
    yield app
    app.sync.close()


@pytest.fixture
def engine(app: App) -> Iterator[Engine]:
    engine = create_engine(str(app.log_url))
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(app: App, engine: Engine) -> Outbox:
    return Outbox(app, engine)
