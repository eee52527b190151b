"""What tests of sessions share: two tables, and what is found of them afterwards."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.app.test_sync import rows
from tidings import App


class Base(DeclarativeBase):
    """What is written beside events."""


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


class Line(Base):
    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", deferrable=True, initially="DEFERRED"))


def orders(app: App) -> list[int]:
    """The orders that are committed."""
    return [row[0] for row in rows(app, "SELECT id FROM orders ORDER BY id")]
