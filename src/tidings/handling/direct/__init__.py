"""Handlers that hear a broker itself, with no log between: at least once, and no more than its carrier can promise."""

from tidings.handling.direct.checking import check_direct, order_warning, warn_of_order
from tidings.handling.direct.lane import Outlet
from tidings.handling.direct.reader import DirectReader

__all__ = ["DirectReader", "Outlet", "check_direct", "order_warning", "warn_of_order"]
