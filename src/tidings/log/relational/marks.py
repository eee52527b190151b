"""Places for a list's parameters in a statement."""


def marks(count: int) -> str:
    """What stands between the brackets of `IN (...)`. Nothing is in an empty list, which not every SQL can write."""
    return ",".join("?" * count) or "NULL"
