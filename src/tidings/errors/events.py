"""Errors of what an event is: its name, its envelope, and the contract of its data."""

from tidings.errors.root import TidingsError, short


class InvalidName(TidingsError, ValueError):
    """A name or pattern outside the grammar: `name`, `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(
            f"{short(name)} is not a valid name: {reason}; use segments of A-Z a-z 0-9 _ - joined by ':', '.' or '/'"
        )


class InvalidEvent(TidingsError, ValueError):
    """An envelope that is not a sound event: `attribute` (empty when it is the whole), `reason`, `event_id`."""

    def __init__(self, attribute: str, reason: str, *, event_id: str | None = None) -> None:
        self.attribute = attribute
        self.reason = reason
        self.event_id = event_id
        which = "the event" if event_id is None else f"event {short(event_id)}"
        where = f" at {attribute!r}" if attribute else ""
        super().__init__(f"{which} is invalid{where}: {reason}; correct it where it is made, then publish it again")


class ContractError(TidingsError):
    """Data that does not fit its contract.

    `type` and `version` are the event's, `path` is where the data departs ("$.total"), `expected` what belongs there.
    """

    def __init__(self, type: str, version: int, path: str, expected: str, *, advice: str | None = None) -> None:
        self.type = type
        self.version = version
        self.path = path
        self.expected = expected
        advice = advice or "correct the producer, or give the change a new version with an @upcast"
        super().__init__(f"{type} version {version} does not fit its contract at {path}: {expected}; {advice}")


class NewerVersion(ContractError):
    """Data of a version newer than this process knows, which the newest known contract could not read either."""

    def __init__(self, type: str, version: int, path: str, expected: str, *, known: int | None = None) -> None:
        self.known = known
        newest = "" if known is None else f" (newest known here: {known})"
        advice = f"the event is newer than this process{newest}: deploy the new contract, then retry it"
        super().__init__(type, version, path, expected, advice=advice)


class BrokenContracts(TidingsError):
    """Contracts or upcasters that cannot work together: `type`, `reason`. Raised at start."""

    def __init__(self, type: str, reason: str) -> None:
        self.type = type
        self.reason = reason
        super().__init__(f"the contracts of {type!r} do not fit together: {reason}")
