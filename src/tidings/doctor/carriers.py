"""Checks of a broker that is a server: whether it answers, has what is wanted, and whether its groups get on."""

from collections.abc import Iterable, Sequence

from tidings.brokers import Standing
from tidings.doctor.carrier import Carrier
from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, note, warning

_CHANCE = 10  # events more that may wait in a group that gets on well,
_SHARE = 0.1  # or so much of what waited at first


def does_not_answer(facts: Facts) -> Iterable[Finding]:
    """Publishing waits in the log, if there is one, until it does."""
    carrier = facts.carrier
    if carrier is not None and carrier.trouble is not None:
        where = "the URL" if facts.app is None else "broker=..."
        yield error("broker", carrier.trouble, f"start it, or correct its address, user and password in {where}")


def refuses_a_handler(facts: Facts) -> Iterable[Finding]:
    """It asks for what this carrier cannot do without a log: the application does not start."""
    for refusal in _seen(facts).refusals:
        yield error("broker", refusal, "do one of these: the application does not start so")


def tells_nothing(facts: Facts) -> Iterable[Finding]:
    """What it lacks, and what waits there, cannot be seen."""
    silence = _seen(facts).silence
    if silence is not None:
        yield note("broker", silence, "without it, look with the broker's own tools")


def lacks_something(facts: Facts) -> Iterable[Finding]:
    """Handlers create what they miss, as far as the broker lets them."""
    for each in _seen(facts).differences:
        if each.state != "missing":
            continue
        what, cure = f"{each.what} is missing. {each.detail}".rstrip(), "'tidings setup' creates it"
        if each.what.startswith("group ") and not _seen(facts).replays:
            what = f"{what.rstrip('.')}. What is published before it is made, it never hears"
            yield warning("broker", what, f"{cure}: run it before the first event is published")
        else:
            yield note("broker", what, cure)


def differs(facts: Facts) -> Iterable[Finding]:
    """Nobody changes unasked what is there."""
    for each in _seen(facts).differences:
        if each.state == "differs":
            cure = "say in the URL what is there, or change it there with the broker's own tools"
            yield warning("broker", f"{each.what} is not as wanted: {each.detail}", cure)


def nobody_receives(facts: Facts) -> Iterable[Finding]:
    """What waits there waits for somebody."""
    for each in _last_look(_seen(facts)):
        if each.group in _seen(facts).ours and each.lag and each.members == 0:
            what = f"{each.lag:,} events wait for it at the broker, and nobody receives them"
            yield warning(each.group, what, "run the application, or see why its processes are not connected")


def letters_wait(facts: Facts) -> Iterable[Finding]:
    """They are not tried again by themselves."""
    for each in _last_look(_seen(facts)):
        if each.group in _seen(facts).ours and each.dead:
            cure = f"'tidings dead list --group {each.group}' tells why, 'tidings dead retry' tries them again"
            yield warning(each.group, f"dead letters at the broker: {each.dead:,}", cure)


def belongs_to_nobody(facts: Facts) -> Iterable[Finding]:
    """What waits for a group that was renamed or given up lies there for good, or as long as its carrier allows."""
    carrier = _seen(facts)
    for each in _last_look(carrier):
        if each.group not in carrier.ours and each.lag and each.members == 0:
            what = f"{each.lag:,} events wait for it at the broker, and neither this application nor anybody runs it"
            how = f"'tidings groups delete {each.group} --url URL'" if carrier.forgets else "the broker's own tools"
            yield note(each.group, what, f"if no other service has it any more, let go of it with {how}")


def gets_nothing_done(facts: Facts) -> Iterable[Finding]:
    """More comes than is settled: what waits never gets less, and clearly more."""
    carrier = _seen(facts)
    for each in _last_look(carrier):
        lags = [sum(one.lag or 0 for one in look if one.group == each.group) for look in carrier.looks]
        grows = lags[0] > 0 and lags == sorted(lags) and lags[-1] - lags[0] > max(_CHANCE, lags[0] * _SHARE)
        if each.group in carrier.ours and each.members != 0 and grows:
            when = f"{carrier.seconds:.0f} seconds later"
            what = f"it does not keep up: {lags[0]:,} events waited for it, and {lags[-1]:,} {when}"
            cure = "see 'troubles' in app.health(); give it more concurrency or processes, or a faster handler"
            yield warning(each.group, what, cure)


def _last_look(carrier: Carrier) -> Sequence[Standing]:
    return carrier.looks[-1] if carrier.looks else ()


def _seen(facts: Facts) -> Carrier:
    return facts.carrier or Carrier("")
