"""Checks of how an application is put together."""

from collections.abc import Iterable, Iterator
from typing import Any

from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, note, warning
from tidings.errors import BrokenContracts, MissingExtra
from tidings.events import Pattern, PatternSet, contract_of
from tidings.events.names import OWN

_USUAL_TIMEOUT = 60.0  # seconds; what nobody has chosen is nobody's mistake


def contracts_do_not_fit(facts: Facts) -> Iterable[Finding]:
    """Two contracts of one version, a version without an upcaster: the application does not start."""
    try:
        _ = facts.app and facts.app.catalog()
    except BrokenContracts as broken:
        yield error(broken.type, broken.reason, "mend the contract or its upcasters: the application does not start so")


def nothing_to_run(facts: Facts) -> Iterable[Finding]:
    """No handler and no broker."""
    app = facts.app
    if app is not None and not app.subscriptions and app.broker_url is None:
        yield warning(app.name, "it has no handlers, so there is nothing to run", "give it one with @app.on(...)")


def broker_is_unknown(facts: Facts) -> Iterable[Finding]:
    """Its URL names nothing tidings can talk to, or the library for it is not installed."""
    refused = facts.broker_trouble
    if isinstance(refused, MissingExtra):
        yield error("broker", str(refused), f"pip install 'tidings[{refused.extra}]'")
    elif refused is not None:
        cure = "correct the URL" if facts.app is None else "correct broker=... of the application"
        yield error("broker", str(refused), cure)


def broker_is_the_log(facts: Facts) -> Iterable[Finding]:
    """What is relayed to the own log is relayed again."""
    if len(facts.files) == 2 and facts.files[0].path == facts.files[1].path:
        what = f"it is the log itself, {facts.files[0].path}"
        yield error("broker", what, "give the services a file of their own to share, as in broker='sqlite:///bus.db'")
    elif facts.servers and facts.app is not None and facts.app.log_url == facts.app.broker_url:
        what = f"it is the log itself, {facts.servers[0].place}"
        yield error("broker", what, "give the services a schema of their own to share, as in broker='...?schema=bus'")


def handler_needs_a_broker(facts: Facts) -> Iterable[Finding]:
    """It is to hear a broker directly, and there is none: it does not start."""
    if facts.app is not None and facts.app.broker_url is None:
        for each in facts.app.subscriptions:
            if each.direct:
                yield error(each.name, "it is direct=True, and there is no broker", "give the App broker=...")


def channel_carries_nothing(facts: Facts) -> Iterable[Finding]:
    """A name in `channels=` fits no event that is known: it is probably misspelt."""
    app = facts.app
    if app is None or app.broker_url is None:
        return
    heard = {pattern for each in app.subscriptions for pattern in each.group.patterns}
    if any(not Pattern(pattern).literal for pattern in heard):
        return  # it may well hear what has no contract
    known = _declared(facts) | heard
    for pattern, channel in app.channels.said.items():
        if not any(PatternSet((pattern,)).matches(name) for name in known):
            what = f"channels= puts {pattern} on {channel}, and no event that is known has such a name"
            yield warning(app.name, what, "correct the name: what is not named travels on its first segment")


def log_is_in_memory(facts: Facts) -> Iterable[Finding]:
    """It ends with its process, and no other process sees it."""
    if facts.app is not None and facts.app.is_in_memory:
        what = "its log is in memory: it ends with the process, and neither a second worker nor a command can see it"
        yield note(facts.app.name, what, f"App({facts.app.name!r}, 'sqlite:///{facts.app.name}.db') keeps it")


def handler_needs_sql(facts: Facts) -> Iterable[Finding]:
    """A handler takes tx, and the log has no SQL: it does not start."""
    if facts.app is not None and facts.app.is_in_memory:
        for each in facts.app.subscriptions:
            if each.form.uses_tx:
                yield error(
                    each.name, "it takes tx, and a log in memory has no SQL", "use sqlite:///file.db as the log"
                )


def handler_outlives_drain(facts: Facts) -> Iterable[Finding]:
    """A stop cuts it off, and it is run again."""
    for each in facts.app.subscriptions if facts.app is not None else ():
        limit, drain = each.policy.timeout, facts.app.drain if facts.app is not None else 0.0
        if limit is None or limit > max(drain, _USUAL_TIMEOUT):
            long = "as long as it likes" if limit is None else f"{limit:g} s"
            what = f"a call may take {long}, and a stop gives it {drain:g} s: what it has done by then is done again"
            yield note(each.name, what, "raise drain= of the App, or lower timeout= of the handler")


def event_never_comes(facts: Facts) -> Iterable[Finding]:
    """A handler waits for a name that has no contract and was never recorded: it is probably misspelt."""
    app = facts.app
    if app is None or app.broker_url is not None:
        return
    declared = _declared(facts)
    occurred = {name for file in facts.files if file.inside is not None for name in file.inside.types}
    for each in app.subscriptions:
        for pattern in each.group.patterns:
            if not pattern.startswith(OWN) and not any(
                PatternSet((pattern,)).matches(name) for name in declared | occurred
            ):
                what = f"it hears {pattern}, which has no contract, is returned by no handler and is not in the log"
                yield warning(each.name, what, "correct the name, or give the event a contract with @event(...)")


def event_is_not_heard(facts: Facts) -> Iterable[Finding]:
    """What a handler returns is recorded, and nobody does anything with it."""
    app = facts.app
    if app is None or app.broker_url is not None:
        return
    for each in app.subscriptions:
        for name in _returned(each):
            if not any(other.matcher().matches(name) for other in app.subscriptions):
                what = f"it returns {name}, which no handler hears"
                yield note(each.name, what, f"handle it with @app.on({name!r}), or leave it to readers of the log")


def _declared(facts: Facts) -> set[str]:
    try:
        return {each.name for each in facts.app.catalog()} if facts.app is not None else set()
    except BrokenContracts:
        return set()


def _returned(subscription: Any) -> Iterator[str]:
    for kind in subscription.form.returned:
        if (contract := contract_of(kind)) is not None:
            yield contract.name
