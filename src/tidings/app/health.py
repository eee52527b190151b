"""What an application says of itself, for probes and people."""

import msgspec


class GroupHealth(msgspec.Struct, frozen=True):
    """One group, as this process and the ledger see it."""

    name: str
    state: str
    lag: int  # events between its slowest lane and the head
    lanes: int  # owned by this process
    retry: int
    blocked: int
    dead: int
    trouble: str | None = None


class Health(msgspec.Struct, frozen=True):
    """An application: healthy when every group and relay it runs gets on."""

    app: str
    healthy: bool
    running: bool
    groups: tuple[GroupHealth, ...] = ()
    troubles: tuple[str, ...] = ()
