"""What an application is made of, told without opening anything."""

import json
from pathlib import Path

from tests.cli.conftest import APP, Tidings


def test_describe_tells_contracts_groups_and_rules_and_opens_no_file(tidings: Tidings, folder: Path) -> None:
    told = tidings("describe").stdout

    assert "order:created\t2\tOrderCreated\tcustomer\tpublic\torder_id, customer, total" in told
    assert "orders.ship hears order:created from the earliest" in told
    assert "any failure: 1 more try at once; dead after 2 calls." in told
    assert {path.name for path in folder.iterdir()} <= {"shop.py", "__pycache__"}


def test_describe_hides_passwords(tidings: Tidings, folder: Path) -> None:
    url = "nats://ann:secret@server:4222/bus?token=hidden&tls=1"
    (folder / "shop.py").write_text(APP.replace('"sqlite:///orders.db"', f'log="sqlite:///orders.db", broker="{url}"'))

    document = json.loads(tidings("describe", "--json").stdout)

    assert document["broker"] == "nats://ann:***@server:4222/bus?token=***&tls=1"
    assert document["log"] == "sqlite:///orders.db"
    assert document["events"][0]["version"] == 2


def test_describe_tells_on_which_channel_an_event_travels(tidings: Tidings, folder: Path) -> None:
    broker = '"sqlite:///orders.db", broker="sqlite:///bus.db", channels={"order:created": "sales"}'
    (folder / "shop.py").write_text(APP.replace('"sqlite:///orders.db"', broker))

    assert "order:created\t2\tOrderCreated\tcustomer\tpublic\tsales\torder_id" in tidings("describe").stdout
    assert json.loads(tidings("describe", "--json").stdout)["events"][0]["channel"] == "sales"


def test_describe_tells_how_a_groups_events_flow(tidings: Tidings, folder: Path) -> None:
    settings = 'rate="100/s", debounce=2.0, priority=len'
    assert "async def ship" in APP
    (folder / "shop.py").write_text(APP.replace("@app.on(OrderCreated", f"@app.on(OrderCreated, {settings}", 1))

    told, document = tidings("describe").stdout, json.loads(tidings("describe", "--json").stdout)

    assert "At most 100 calls in 1 s, 10 at once, in each process." in told
    assert "Only the last event of a key is handled, after 2 s without another." in told
    assert document["groups"][0]["flow"] == {
        "rate": {"calls": 100, "per": 1.0, "burst": None},
        "debounce": {"quiet": 2.0, "longest": None},
        "priority": "len",
    }
