"""What handling reports is shown with a failure here, too."""

from tests.handling.conftest import reports

__all__ = ["reports"]
