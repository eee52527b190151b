"""What others put into a stream, and tidings can read only once it is told how, loses nothing until then."""

from tests.handling.conftest import reports

__all__ = ["reports"]  # what services report is shown with a failure
