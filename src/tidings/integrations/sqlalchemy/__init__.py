"""Events in the commit of a SQLAlchemy session (extra `sqlalchemy`): state and what is told of it, or neither.

    from tidings.integrations.sqlalchemy import Outbox

`outbox.py` publishes, `pending.py` keeps what one session has published until it commits, `connection.py` writes it on
the connection of whichever driver.
"""

from tidings.integrations.sqlalchemy.outbox import Outbox

__all__ = ["Outbox"]
