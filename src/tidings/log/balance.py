"""Who owns which lanes: the same sum done by every member, so that nobody has to be in charge."""

from collections.abc import Sequence


def part(member: str, number: int) -> str:
    """A part of a member: one of several readers it has of a group, each with lanes of its own.

    Parts sort by number before member, so that the shares of many processes are dealt out in turn.
    """
    return f"{number:02d}.{member}"


def whole(name: str) -> str:
    """The member that a part belongs to; a member itself stays what it is."""
    return name.rpartition(".")[2]


def share(owners: Sequence[str | None], members: Sequence[str], member: str) -> set[int]:
    """The lanes `member` should own next, given who owns each lane now and who is alive.

    It keeps what it has up to its fair share, gives back the rest, and takes only free lanes: a lane changes hands when
    its owner lets go or dies. All members doing this end within one lane of each other.
    """
    ranking = sorted(set(members) | {member})
    base, extra = divmod(len(owners), len(ranking))
    quota = base + (ranking.index(member) < extra)
    mine = [lane for lane, owner in enumerate(owners) if owner == member]
    if len(mine) >= quota:
        return set(mine[:quota])
    free = [lane for lane, owner in enumerate(owners) if owner not in ranking]
    return set(mine + free[: quota - len(mine)])


def all_or_none(owners: Sequence[str | None], members: Sequence[str], member: str) -> set[int]:
    """The lanes `member` should own next where one member is to have all: those it has, and all that are free.

    Nobody else takes any as long as one who owns some is alive; of several, the first keeps its own.
    """
    alive = sorted(set(members) | {member})
    if next((name for name in alive if name in owners), member) != member:
        return set()
    return {lane for lane, owner in enumerate(owners) if owner == member or owner not in alive}
