"""The end of a process that has just closed its client of Pulsar."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tidings.brokers.pulsar import library

Told = Callable[[Any], None]


class SlowClient:
    """Tells that it is closed, and keeps whom it told until it is asked to let go."""

    def __init__(self) -> None:
        self.held: Told | None = None

    def close_async(self, told: Told) -> None:
        self.held = told
        told("Ok")


def letting_go(client: SlowClient, seen: list[str]) -> threading.Timer:
    """A thread that has the client let go of whom it told, in a while."""

    def let_go() -> None:
        seen.append("let go")
        client.held = None

    thread = threading.Timer(0.05, let_go)
    thread.start()
    return thread


def test_the_end_of_the_process_waits_until_a_closing_client_has_let_go_of_what_is_pythons() -> None:
    client, seen = SlowClient(), list[str]()
    library.Closing(client).begin(lambda result: seen.append(result))
    thread = letting_go(client, seen)

    library._see_off()

    assert seen == ["Ok", "let go"]
    thread.join()


async def test_who_closes_a_client_waits_until_it_has_let_go_of_what_is_pythons() -> None:
    client, seen = SlowClient(), list[str]()
    closing = library.Closing(client)
    closing.begin(lambda result: seen.append(result))
    thread = letting_go(client, seen)

    await closing.let_go()

    assert seen == ["Ok", "let go"]
    thread.join()


def test_a_client_that_lets_go_of_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LONGEST", 0.0)
    client, seen = SlowClient(), list[str]()
    library.Closing(client).begin(lambda result: seen.append(result))

    library._see_off()

    assert client.held is not None
    library._closing.clear()
