"""Without the library, the error says how to install it."""

import sys
from typing import Any

import pytest

from tests.streams.stage import Tap
from tidings import App
from tidings.errors import MissingExtra
from tidings.integrations.files import FilesIn
from tidings.integrations.reactivex import to_observable
from tidings.integrations.sqlalchemy import Outbox


def test_watching_files_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[files\]'"):
        FilesIn("inbox/")


def test_the_bridge_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reactivex", None)

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[reactivex\]'"):
        _ = to_observable(Tap(1))


def test_the_outbox_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    engine: Any = object()

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[sqlalchemy\]'"):
        Outbox(App("shop"), engine)
