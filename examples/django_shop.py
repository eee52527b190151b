"""A Django view in `transaction.atomic`: what the ORM writes and the events are committed together, or neither is.

    $ python django_shop.py runserver --noreload                          the shop
    $ tidings run django_shop:app                                         its handlers, in a process of their own
    $ curl localhost:8000/orders -d item=lamp

Django's database is the log's own file. `transaction_mode` has Django ask for SQLite's lock when a transaction begins,
and not in the middle, when another writer may have been faster.
"""

import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection, models, transaction
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path

from tidings import App, Transaction, event

FILE = "shop.db"  # the shop's tables and its events
STOCK = {"lamp", "table"}

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FILE,
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        }
    },
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="an example",
)
django.setup()


class Order(models.Model):
    item = models.TextField()
    packed = models.BooleanField(db_default=False)

    class Meta:
        app_label = "shop"
        db_table = "orders"


@event("order:placed", key="order_id")
class OrderPlaced:
    order_id: int
    item: str


app = App("shop", f"sqlite:///{FILE}")


@app.on(OrderPlaced)
def pack(order: OrderPlaced, tx: Transaction) -> None:
    tx.execute("UPDATE orders SET packed = 1 WHERE id = ?", (order.order_id,), rows=1)


def place(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        order = Order.objects.create(item=request.POST["item"])
        publish(OrderPlaced(order.pk, order.item))
        if order.item not in STOCK:
            raise Http404(f"no {order.item} is left")  # raising takes back the row and the event
    return JsonResponse({"order_id": order.pk}, status=201)


def publish(value: object) -> None:
    """Write an event in the transaction Django has open, and wake the handlers when it commits."""
    with app.sync.transaction(existing=connection.connection) as tx:
        tx.publish(value)
    transaction.on_commit(app.sync.ring)


def make_tables() -> None:
    app.sync.open()  # before any transaction, as it makes the log's tables; after the fork, if the server forks
    if Order._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Order)


urlpatterns = [path("orders", place)]

if __name__ == "__main__":
    make_tables()
    execute_from_command_line(sys.argv)
