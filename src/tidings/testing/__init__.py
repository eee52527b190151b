"""Floor 8. The test kit: the promises of the seams as plain test functions, and the checker that judges crash tests."""

from tidings.testing.checker import History, Report, check

__all__ = ["History", "Report", "check"]
