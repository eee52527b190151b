"""What commands show and do where there is no log: at a broker, whose groups hear it directly."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tidings.brokers import Broker, DeadLetter, Standing
from tidings.cli.fitting import Column
from tidings.cli.words import data_text
from tidings.errors import ConfigurationError, NotSupported
from tidings.events import PatternSet, to_cloudevent

_GROUPS = ("group", "waiting", "dead", "members")
_LETTERS = ("group", "name", "key", "id", "calls", "reason")


def call(target: Any, ask: Callable[[Broker], Awaitable[Any]]) -> Any:
    """What `ask` says of the target's broker."""

    async def asked() -> Any:
        async with target.broker() as broker:
            return await ask(broker)

    return asyncio.run(asked())


def refuse(what: str) -> ConfigurationError:
    """The error of a command that needs a log."""
    return ConfigurationError(f"{what} needs a log, and this is a broker alone: its events are the broker's to keep")


def show_groups(target: Any, names: Sequence[str], *, as_json: bool, header: bool) -> None:
    """The groups that a broker knows: what waits for each, as far as it tells."""
    from tidings.cli.output import print_json, print_rows

    standings: list[Standing] = call(target, lambda broker: broker.groups())
    found = [each for each in standings if not names or each.group in names]
    say_who_is_missing(found)
    if as_json:
        for each in found:
            print_json({"group": each.group, "waiting": each.lag, "dead": each.dead, "members": each.members})
        return
    rows = [
        ["-" if cell is None else cell for cell in (each.group, each.lag, each.dead, each.members)] for each in found
    ]
    columns = [Column(name, name != "group", name == "group") for name in _GROUPS]
    print_rows(columns, rows, nothing="No groups yet: 'tidings run' makes them.", header=header)


def say_who_is_missing(found: Sequence[Standing]) -> None:
    """Tell of groups for which events gather, and that nobody runs."""
    for each in found:
        if each.lag and each.members == 0:
            told = f"nobody runs {each.group}, and {each.lag:,} events wait for it: run it, or if it is no more,"
            print(f"{told} 'tidings groups delete {each.group}' lets go of them", file=sys.stderr)


def forget(target: Any, names: Sequence[str]) -> list[str]:
    """Have the broker let go of groups, by name or pattern; says which.

    Raises:
        ConfigurationError: there is none of a name, or members run one; those before it are forgotten.
    """

    async def ask(broker: Broker) -> list[str]:
        if not broker.capabilities.forgets:
            raise NotSupported(broker.url, "forget groups, so delete them with its own tools")
        there = [each.group for each in await broker.groups()]
        for name in names:
            if not any(map(PatternSet([name]).matches, there)):
                raise ConfigurationError(f"there is no group {name!r}: 'tidings groups' lists those there are")
        chosen = [group for group in there if PatternSet(names).matches(group)]
        for group in chosen:
            await broker.forget(group)
        return chosen

    forgotten: list[str] = call(target, ask)
    return forgotten


def show_letters(target: Any, group: str | None, limit: int, *, as_json: bool, header: bool) -> None:
    """The dead letters that a broker keeps, oldest first."""
    from tidings.cli.output import print_json, print_rows

    letters: list[DeadLetter] = call(target, lambda broker: letters_of(broker, group))
    if len(letters) > limit:
        print(f"{len(letters) - limit:,} more are not shown: --limit {len(letters)} shows all", file=sys.stderr)
    if as_json:
        for letter in letters[:limit]:
            print_json(document(letter))
        return
    rows = [
        [each.group, each.event.type, each.event.key, each.event.id, each.attempts, each.reason]
        for each in letters[:limit]
    ]
    columns = [Column(name, name == "calls", name == "id", least=24 if name == "reason" else 12) for name in _LETTERS]
    print_rows(columns, rows, nothing="No dead letters.", header=header)


def show_letter(target: Any, event: str, group: str | None, *, as_json: bool) -> None:
    """One of them: why, and where the handler failed.

    Raises:
        ConfigurationError: there is none of this event.
    """
    from tidings.cli.output import print_json

    for letter in named(call(target, lambda broker: letters_of(broker, group)), [event]):
        if as_json:
            print_json(document(letter))
        else:
            print_letter(letter)


def print_letter(letter: DeadLetter) -> None:
    """What there is to say of it."""
    from tidings.cli.output import print_facts

    facts = {"group": letter.group, "name": letter.event.type, "key": letter.event.key, "id": letter.event.id}
    print_facts(facts | {"calls": letter.attempts, "reason": letter.reason, "data": data_text(letter.event)})
    print(letter.detail.rstrip())


def resolve(target: Any, events: Sequence[str], group: str | None, *, again: bool) -> list[tuple[str, int]]:
    """Hand dead letters to their groups again, or drop them; none named: all. Says how many of which group.

    Raises:
        ConfigurationError: there is none of a named event.
    """

    async def ask(broker: Broker) -> list[tuple[str, int]]:
        letters = await letters_of(broker, group)
        return await decided(broker, named(letters, events) if events else letters, again=again)

    found: list[tuple[str, int]] = call(target, ask)
    return found


async def decided(broker: Broker, chosen: Sequence[DeadLetter], *, again: bool) -> list[tuple[str, int]]:
    """These are handed to their groups again, or dropped; how many of which group."""
    for letter in chosen:
        await broker.resolve(letter, again=again)
    groups = sorted({letter.group for letter in chosen})
    return [(name, sum(letter.group == name for letter in chosen)) for name in groups]


async def follow(
    target: Any, patterns: list[str], limit: int | None, shower: Callable[[], Callable[[Any], None]]
) -> None:
    """Show what comes from now on, with what `shower` gives once there is something to hear."""
    count = 0
    async with target.broker() as broker, broker.subscribe(patterns, group=None) as inbox:
        show = shower()
        print(f"what comes over {broker.url} from now on; Ctrl-C ends it", file=sys.stderr, flush=True)
        while True:
            arrivals = await inbox.receive()
            for arrival in arrivals:
                show(arrival.event)
                count += 1
                if count == limit:
                    return
            await inbox.settle(arrivals)


async def letters_of(broker: Broker, group: str | None) -> list[DeadLetter]:
    """Its dead letters.

    Raises:
        NotSupported: it keeps none.
    """
    if not broker.capabilities.dead_letters:
        raise NotSupported(broker.url, "keep dead letters")
    return await broker.letters(group)


def named(letters: Sequence[DeadLetter], events: Sequence[str]) -> list[DeadLetter]:
    """Those of these events.

    Raises:
        ConfigurationError: there is none of one.
    """
    for event in events:
        if not any(letter.event.id == event for letter in letters):
            raise ConfigurationError(f"there is no dead letter {event}: 'tidings dead list' shows those there are")
    return [letter for letter in letters if letter.event.id in events]


def document(letter: DeadLetter) -> dict[str, Any]:
    """All of it, the event as a CloudEvent."""
    import msgspec

    return {
        "group": letter.group,
        "id": letter.event.id,
        "type": letter.event.type,
        "key": letter.event.key,
        "calls": letter.attempts,
        "reason": letter.reason,
        "detail": letter.detail,
        "event": msgspec.Raw(to_cloudevent(letter.event)),
    }
