"""Rows as records, when the data of each is what was written."""

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any

from tidings.errors import LogDamaged
from tidings.log.position import Epoch
from tidings.log.record import Record, damaged


def checked(rows: Sequence[Any], epoch: Epoch) -> list[Record]:
    """Rows as records, when the data of each is what was written.

    Raises:
        LogDamaged: naming the positions of those where it is not.
    """
    records = list(starmap(Record, rows))
    refuse_damaged(records, epoch)
    return records


def refuse_damaged(records: Iterable[Record], epoch: Epoch) -> None:
    """Check that the data of each is what was written.

    Raises:
        LogDamaged: naming the positions of those where it is not.
    """
    broken = damaged(records)
    if broken:
        raise LogDamaged("the data's checksum does not fit", [epoch.position(record.order) for record in broken])
