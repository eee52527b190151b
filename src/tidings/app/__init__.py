"""Floor 6. The one place where parts are put together. Imports everything below."""

from tidings.app.app import App
from tidings.app.sources import Source

__all__ = ["App", "Source"]
