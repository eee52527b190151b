"""Commands: an event that asks for something, and so has exactly one group that hears it."""

from collections.abc import Sequence

from tidings.errors import NotOneHandler
from tidings.handling.subscription import Subscription


def check_sole_handler(subscriptions: Sequence[Subscription], type: str) -> None:
    """Is there exactly one group that hears `type`?

    Raises:
        NotOneHandler: there is none, or several.
    """
    groups = [each.name for each in subscriptions if each.matcher().matches(type)]
    if len(groups) != 1:
        raise NotOneHandler(type, groups)
