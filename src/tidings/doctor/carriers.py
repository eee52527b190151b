"""Checks of a broker that is a server: whether it answers, has what is wanted, and whether its groups get on."""

from collections.abc import Iterable

from tidings.doctor.carrier import Carrier
from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, note, warning


def does_not_answer(facts: Facts) -> Iterable[Finding]:
    """Publishing waits in the log, if there is one, until it does."""
    carrier = facts.carrier
    if carrier is not None and carrier.trouble is not None:
        yield error("broker", carrier.trouble, "start it, or correct its address, user and password in broker=...")


def lacks_something(facts: Facts) -> Iterable[Finding]:
    """Handlers create what they miss, as far as the broker lets them."""
    for each in _seen(facts).differences:
        if each.state == "missing":
            yield note("broker", f"{each.what} is missing. {each.detail}".rstrip(), "'tidings setup' creates it")


def differs(facts: Facts) -> Iterable[Finding]:
    """Nobody changes unasked what is there."""
    for each in _seen(facts).differences:
        if each.state == "differs":
            cure = "change it with the broker's own tools, or the settings in the URL, so that both say the same"
            yield warning("broker", f"{each.what} is not as wanted: {each.detail}", cure)


def nobody_receives(facts: Facts) -> Iterable[Finding]:
    """What waits there waits for somebody."""
    for each in _seen(facts).after:
        if each.group in _seen(facts).ours and each.lag and each.members == 0:
            what = f"{each.lag:,} events wait for it at the broker, and nobody receives them"
            yield warning(each.group, what, "run the application, or see why its processes are not connected")


def gets_nothing_done(facts: Facts) -> Iterable[Finding]:
    """More comes than is settled."""
    carrier = _seen(facts)
    lags = {each.group: each.lag or 0 for each in carrier.before}
    for each in carrier.after:
        lag, before = each.lag or 0, lags.get(each.group, 0)
        if each.group in carrier.ours and each.members != 0 and 0 < before < lag:
            what = f"it does not keep up: {before:,} events waited for it, and {lag:,} a second later"
            cure = "see 'troubles' in app.health(); give it more concurrency or processes, or a faster handler"
            yield warning(each.group, what, cure)


def _seen(facts: Facts) -> Carrier:
    return facts.carrier or Carrier("")
