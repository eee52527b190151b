"""What a ledger refuses an operator, in the same words whichever log it belongs to."""

from tidings.errors import ConfigurationError
from tidings.log.position import Position


def no_group(name: str) -> ConfigurationError:
    """There is no group of this name."""
    return ConfigurationError(f"there is no group {name!r}: 'tidings groups' lists those there are")


def nothing_there(position: Position) -> ConfigurationError:
    """There is no event at this position."""
    return ConfigurationError(f"there is no event at {position or 'the start'}: 'tidings tail' shows the positions")


def answered(group: str, position: Position) -> ConfigurationError:
    """The group is done with that event."""
    return ConfigurationError(f"{group} has answered the event at {position}: there is nothing to pass over")
