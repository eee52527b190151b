"""The end of a process that has just closed its client of Pulsar."""

import threading
from collections.abc import Callable
from typing import Any

from tidings.brokers.pulsar import library

Told = Callable[[Any], None]


class SlowClient:
    """Tells that it is closed, and keeps whom it told until it is asked to let go."""

    def __init__(self) -> None:
        self.held: Told | None = None

    def close_async(self, told: Told) -> None:
        self.held = told
        told("Ok")


def test_the_end_of_the_process_waits_until_a_closing_client_has_let_go_of_what_is_pythons() -> None:
    client, seen = SlowClient(), list[str]()
    library.close(client, lambda result: seen.append(result))

    def let_go() -> None:
        seen.append("let go")
        client.held = None

    thread = threading.Timer(0.05, let_go)
    thread.start()
    library._see_off()

    assert seen == ["Ok", "let go"]
    thread.join()
