"""Checks of what surrounds an application: how it is found, the variables that decide it, the Python it runs on."""

from collections.abc import Iterable
from difflib import get_close_matches

from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, note, warning
from tidings.errors import MissingExtra

VARIABLES = ("TIDINGS_APP", "TIDINGS_URL", "TIDINGS_LOG", "TIDINGS_BROKER")  # in the order in which they are asked
_OURS = {
    *VARIABLES,
    "TIDINGS_SEED",
    "TIDINGS_TRIALS",
    "TIDINGS_SHOP",
    "TIDINGS_SHOP_BROKER",
    "TIDINGS_SHOP_LOG",
}  # the rest: tests and the demo
_OLDEST = (3, 11)


def application_is_missing(facts: Facts) -> Iterable[Finding]:
    """It was not found, there are several, or its module cannot be imported."""
    trouble = facts.trouble
    if trouble is None:
        return
    if isinstance(trouble, MissingExtra):
        cure = f"pip install 'tidings[{trouble.extra}]'"
    elif facts.url is not None:
        cure = "correct the URL: three slashes for a path from here, four for one from the root"
    elif trouble.__cause__ is not None:
        cure = "mend the module: 'tidings describe --debug' shows the traceback"
    else:
        cure = 'name it with --app module:attr, or once and for all in pyproject.toml: [tool.tidings] app = "shop:app"'
    yield error("application", str(trouble), cure)


def python_is_old(facts: Facts) -> Iterable[Finding]:
    """tidings is written for newer versions."""
    if facts.python < _OLDEST:
        shown = ".".join(map(str, facts.python))
        yield error("Python", f"this is Python {shown}, which tidings does not know", "install Python 3.11 or newer")


def variables_nobody_reads(facts: Facts) -> Iterable[Finding]:
    """A misspelt setting is no setting."""
    for name in sorted(facts.variables):
        if not name.startswith("TIDINGS_") or name in _OURS:
            continue
        if meant := get_close_matches(name, VARIABLES, n=1, cutoff=0.87):
            yield warning(name, "it is set, and nobody reads it", f"set {meant[0]} instead, if that is meant")
        else:
            yield note(name, "it is set, and tidings does not read it", f"unset it; what is read is {_listed()}")


def variables_overruled(facts: Facts) -> Iterable[Finding]:
    """Set, and another one, or the call, comes first."""
    found = [name for name in VARIABLES if facts.variables.get(name)]
    winner = "--app or --url" if facts.is_named else found[0] if found else ""
    for name in found if facts.is_named else found[1:]:
        yield note(name, f"it is set, and {winner} comes first", f"unset {name}, or leave out {winner}")


def variables_overrule(facts: Facts) -> Iterable[Finding]:
    """A variable from some other day hides the application that the folder names."""
    found = next((name for name in VARIABLES if facts.variables.get(name)), None)
    if found is not None and facts.configured is not None and not facts.is_named:
        what = f"it comes before {facts.configured}, which pyproject.toml names"
        yield warning(found, what, f"unset {found}, or call with --app {facts.configured}")


def _listed() -> str:
    return ", ".join(VARIABLES)
