"""Seeded faults of an application and its surroundings, each found, with its cure."""

from pathlib import Path

import pytest

from tests.doctor.conftest import OrderCreated, Patient
from tidings import App, Event, Transaction, event
from tidings.doctor import examine, gather
from tidings.errors import ConfigurationError, MissingExtra


@event("order:created", version=1)
class OtherOrderCreated:
    number: str


@event("parcel:sent", version=1)
class ParcelSent:
    number: int


def test_contracts_that_do_not_fit_together(patient: Patient) -> None:
    app = App("orders", f"sqlite:///{patient.file}", contracts=[OtherOrderCreated])
    app.on(OrderCreated, group="orders.ship")(lambda order: None)

    found = patient.finding(app)

    assert (found.severity, found.subject) == ("error", "order:created")
    assert "mend the contract" in found.cure


def test_an_application_without_handlers(tmp_path: Path) -> None:
    found = Patient(tmp_path).finding(App("empty", f"sqlite:///{tmp_path}/empty.db"))

    assert found.what == "it has no handlers, so there is nothing to run"
    assert "@app.on" in found.cure


def test_a_broker_that_nobody_knows(patient: Patient) -> None:
    app = App("orders", log=f"sqlite:///{patient.file}", broker="pigeon://loft")
    app.on(OrderCreated, group="orders.ship")(lambda order: None)

    found = patient.finding(app)

    assert found.severity == "error"
    assert "'pigeon://loft' is not the URL of a broker" in found.what
    assert found.cure.startswith("correct broker=")


def test_a_broker_that_is_the_log(patient: Patient) -> None:
    url = f"sqlite:///{patient.file}"
    app = App("orders", log=url, broker=f"{url}?synchronous=NORMAL")
    app.on(OrderCreated, group="orders.ship")(lambda order: None)

    found = patient.finding(app)

    assert found.what == f"it is the log itself, {patient.file}"
    assert "sqlite:///bus.db" in found.cure


def test_a_broker_that_is_the_log_of_a_server(patient: Patient) -> None:
    url = "postgresql://127.0.0.1:1/shop?lock_timeout=0"
    app = App("orders", log=url, broker=url)
    app.on(OrderCreated, group="orders.ship")(lambda order: None)

    found = next(each for each in examine(gather(app)) if each.subject == "broker")

    assert found.severity == "error"
    assert found.what.startswith("it is the log itself, postgresql://127.0.0.1:1/shop")
    assert "schema=bus" in found.cure


def test_a_handler_that_hears_a_broker_that_is_not_there(patient: Patient) -> None:
    app = App("orders", f"sqlite:///{patient.file}")
    app.on(OrderCreated, group="orders.ship", direct=True)(lambda order: None)

    found = patient.finding(app)

    assert (found.severity, found.subject) == ("error", "orders.ship")
    assert "broker=" in found.cure


def test_a_channel_of_a_misspelt_name(patient: Patient) -> None:
    channels = {"order:*": "orders", "ordr:*": "orders"}
    app = App("orders", f"sqlite:///{patient.file}", broker=f"sqlite:///{patient.folder}/bus.db", channels=channels)
    app.on(OrderCreated, group="orders.ship")(lambda order: None)

    found = patient.finding(app)

    assert (found.severity, found.subject) == ("warning", "orders")
    assert "ordr:*" in found.what


def test_a_log_in_memory_and_a_handler_that_needs_sql(patient: Patient) -> None:
    app = App("orders")

    @app.on(OrderCreated)
    def count(order: OrderCreated, tx: Transaction) -> None: ...

    needs, memory = patient.findings(app)

    assert (needs.severity, memory.severity) == ("error", "note")
    assert needs.what == "it takes tx, and a log in memory has no SQL"
    assert "sqlite:///file.db" in needs.cure
    assert "its log is in memory" in memory.what
    assert "'sqlite:///orders.db'" in memory.cure


@pytest.mark.parametrize(("timeout", "what"), [(None, "as long as it likes"), (90.0, "90 s")])
def test_a_handler_that_outlives_a_stop(patient: Patient, timeout: float | None, what: str) -> None:
    app = App("orders", f"sqlite:///{patient.file}")
    app.on(OrderCreated, group="orders.ship", timeout=timeout)(lambda order: None)

    found = patient.finding(app)

    assert found.what.startswith(f"a call may take {what}, and a stop gives it 10 s")
    assert "drain=" in found.cure


def test_a_handler_of_a_name_that_never_comes(patient: Patient) -> None:
    patient.app.on("order:craeted", group="orders.shop")(lambda order: None)

    found = patient.finding()

    assert (found.severity, found.subject) == ("warning", "orders.shop")
    assert found.what.startswith("it hears order:craeted, which has no contract")
    assert found.cure.startswith("correct the name")


def test_a_name_without_a_contract_that_did_come_is_no_fault(patient: Patient) -> None:
    patient.with_log(lambda log: log.append([_event("customer:moved")]))
    patient.app.on("customer:*", group="orders.follow")(lambda data: None)

    assert not [each for each in patient.findings() if each.subject == "orders.follow"]


def test_events_of_tidings_itself_need_not_have_come_yet(patient: Patient) -> None:
    patient.app.on("tidings:group:*", group="orders.alarm")(lambda data: None)

    assert not [each for each in patient.findings() if "it hears" in each.what]


def test_an_event_that_nobody_hears(patient: Patient) -> None:
    @patient.app.on(OrderCreated)
    async def send(order: OrderCreated) -> ParcelSent:
        return ParcelSent(1)

    found = patient.finding()

    assert (found.severity, found.subject) == ("note", "orders.send")
    assert found.what == "it returns parcel:sent, which no handler hears"
    assert "@app.on('parcel:sent')" in found.cure


def test_a_variable_that_nobody_reads(patient: Patient) -> None:
    misspelt = patient.finding(variables={"TIDINGS_LOGS": "sqlite:///x.db"})
    unknown = patient.finding(variables={"TIDINGS_WORKERS": "4"})

    assert (misspelt.severity, misspelt.subject) == ("warning", "TIDINGS_LOGS")
    assert misspelt.cure == "set TIDINGS_LOG instead, if that is meant"
    assert (unknown.severity, unknown.subject) == ("note", "TIDINGS_WORKERS")
    assert unknown.cure.endswith("TIDINGS_URL, TIDINGS_LOG, TIDINGS_BROKER")


def test_a_variable_that_something_else_comes_before(patient: Patient) -> None:
    both = {"TIDINGS_URL": "sqlite:///x.db", "TIDINGS_LOG": "sqlite:///y.db"}

    by_call = patient.finding(variables={"TIDINGS_LOG": "sqlite:///x.db"})
    by_variable = patient.finding(variables=both, is_named=False)

    assert by_call.what == "it is set, and --app or --url comes first"
    assert by_variable.cure == "unset TIDINGS_LOG, or leave out TIDINGS_URL"


def test_a_variable_that_hides_the_application(patient: Patient) -> None:
    found = patient.finding(variables={"TIDINGS_URL": "sqlite:///x.db"}, is_named=False, configured="shop:app")

    assert found.severity == "warning"
    assert found.what == "it comes before shop:app, which pyproject.toml names"
    assert found.cure.startswith("unset TIDINGS_URL")


@pytest.mark.parametrize(
    ("trouble", "cure"),
    [
        (ConfigurationError("no application was found"), "name it with --app module:attr"),
        (MissingExtra("kafka", "kafka://"), "pip install 'tidings[kafka]'"),
    ],
)
def test_an_application_that_is_not_there(trouble: ConfigurationError, cure: str) -> None:
    [found] = examine(gather(trouble=trouble, variables={}))

    assert (found.severity, found.what) == ("error", str(trouble))
    assert found.cure.startswith(cure)


def _event(name: str) -> Event:
    return Event(source="test", type=name)
