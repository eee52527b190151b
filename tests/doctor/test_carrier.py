"""What the doctor says of a broker that is a server, from what it saw of it."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.servers.redis import RedisServer
from tidings import App, Event
from tidings.brokers import Difference, Standing, Wanted, connect
from tidings.doctor import carriers, examine, gather
from tidings.doctor.carrier import Carrier, examined
from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding
from tidings.events import new_id
from tidings.testing.broker_conformance.words import new_event

URL = "redis://host"


def seen(**facts: Any) -> Facts:
    """Facts of a healthy machine on which this was seen of a broker."""
    return msgspec.structs.replace(gather(), carrier=Carrier(URL, ours=["shop"], **facts))


def only(found: "object") -> Finding:
    [finding] = list(found)  # type: ignore[call-overload]
    assert isinstance(finding, Finding)
    return finding


def test_one_that_does_not_answer() -> None:
    found = only(carriers.does_not_answer(seen(trouble="redis://host cannot be reached: refused")))

    assert (found.severity, found.subject) == ("error", "broker")
    assert "start it" in found.cure


def test_what_is_missing_and_what_differs() -> None:
    facts = seen(differences=[Difference("topic order", "missing"), Difference("topic stock", "differs", "8, not 4")])

    assert "'tidings setup' creates it" in only(carriers.lacks_something(facts)).cure
    assert only(carriers.differs(facts)).what == "topic stock is not as wanted: 8, not 4"


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [((5, 0), (5, 0), True), ((5, 1), (5, 1), False), ((0, 0), (0, 0), False), ((5, None), (5, None), False)],
)
def test_nobody_receives(before: tuple[int, int | None], after: tuple[int, int | None], is_told: bool) -> None:
    facts = seen(looks=[[Standing("shop", *before)], [Standing("shop", *after), Standing("other", 9, 0)]])

    assert bool(list(carriers.nobody_receives(facts))) is is_told


@pytest.mark.parametrize(("forgets", "cure"), [(True, "tidings groups delete old --url"), (False, "its own tools")])
def test_a_group_of_nobody_is_named_with_its_cure(forgets: bool, cure: str) -> None:
    looks = [[Standing("old", 5, 0), Standing("shop", 5, 0), Standing("busy", 5, 1), Standing("done", 0, 0)]]

    found = only(carriers.belongs_to_nobody(seen(looks=looks, forgets=forgets)))

    assert (found.severity, found.subject) == ("note", "old")
    assert cure.removeprefix("its") in found.cure


@pytest.mark.parametrize(
    ("lags", "is_told"),
    [
        ((5, 60, 90, 200), True),
        ((5, 6, 7, 8), False),
        ((5, 5, 5, 5), False),
        ((5, 90, 60, 200), False),  # some was settled in between
        ((9_000, 9_100, 9_200, 9_300), False),  # it may be settled in batches
        ((0, 9, 90, 200), False),  # nothing waited: all of it has just come
        ((200, 90, 60, 5), False),
    ],
)
def test_one_that_does_not_keep_up(lags: tuple[int, ...], is_told: bool) -> None:
    found = list(carriers.gets_nothing_done(seen(looks=[[Standing("shop", lag, 1)] for lag in lags], seconds=2.25)))

    assert bool(found) is is_told
    if found:
        assert "5 events waited for it, and 200 2 seconds later" in found[0].what


def test_a_group_that_is_missing_where_nothing_is_replayed_is_more_than_a_note() -> None:
    missing = [Difference("group shop", "missing")]

    assert only(carriers.lacks_something(seen(differences=missing))).severity == "note"
    found = only(carriers.lacks_something(seen(differences=missing, replays=False)))
    assert (found.severity, found.subject) == ("warning", "broker")
    assert "it never hears" in found.what
    assert "before the first event is published" in found.cure


def test_dead_letters_at_the_broker() -> None:
    found = only(carriers.letters_wait(seen(looks=[[Standing("shop", 0, 1, 2), Standing("other", 0, 1, 2)]])))

    assert (found.severity, found.subject, found.what) == ("warning", "shop", "dead letters at the broker: 2")
    assert "tidings dead list --group shop" in found.cure


def test_one_that_does_not_tell_what_it_lacks() -> None:
    assert only(carriers.tells_nothing(seen(silence="say admin=..."))).severity == "note"


async def test_a_log_as_a_broker_is_looked_at_as_a_file() -> None:
    assert await examined(None, "memory:bus") is None
    assert await examined(App("shop", log="memory:"), "pigeon://loft") is None


async def test_a_handler_that_the_carrier_cannot_serve_is_told_whether_or_not_it_answers() -> None:
    app = App("shop", broker="mqtt://127.0.0.1:1?timeout=1")

    @app.on("order:*")
    async def ship(order: Event) -> None: ...

    carrier = await examined(app, app.broker_url)

    assert carrier is not None
    assert carrier.trouble is not None
    found = only(carriers.refuses_a_handler(msgspec.structs.replace(await asyncio.to_thread(gather), carrier=carrier)))
    assert found.severity == "error"
    assert "shop.ship hears mqtt://127.0.0.1:1?timeout=1 directly, which keeps no dead letters" in found.what


async def test_a_broker_alone_is_looked_at_with_all_its_groups(redis_server: RedisServer) -> None:
    url = f"{redis_server.url}?prefix=doctor-{new_id()}:"
    broker = await connect(url)
    await broker.setup(Wanted(("order",), (("shop", ("order:*",)),)), apply=True)
    await broker.publish([new_event(0)])
    await broker.close()

    found = await asyncio.to_thread(lambda: examine(gather(url=url)))

    assert [(each.severity, each.subject) for each in found if each.subject == "shop"] == [("warning", "shop")]
    assert "nobody receives them" in next(each.what for each in found if each.subject == "shop")


def test_a_broker_alone_that_does_not_answer_is_an_error() -> None:
    found = next(each for each in examine(gather(url="redis://127.0.0.1:1")) if each.subject == "broker")

    assert found.severity == "error"
    assert "nobody listens at port 1" in found.what
    assert found.cure.endswith("in the URL")
