"""Who of a group's members receives from which partition, where the carrier does not share them out itself.

Every member does the same sum over the same facts, so that nobody has to be in charge; what keeps two members from one
partition is the carrier's own lock or lease, not this sum.
"""

from collections.abc import Mapping, Sequence

from tidings.log.balance import share


def turns(owners: Mapping[int, str | None], members: Sequence[str], member: str) -> set[int]:
    """The partitions that `member` should own next, given who owns each now and who is alive.

    It keeps what it has up to its fair share, gives back the rest, and takes only what is free: a partition changes
    hands when its owner lets go or dies. All members doing this end within one partition of each other.
    """
    numbers = sorted(owners)
    mine = share([owners[number] for number in numbers], members, member)
    return {numbers[index] for index in mine}
