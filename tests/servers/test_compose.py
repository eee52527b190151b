"""`compose.yaml` and the page about it name the same servers, at the same places, as the tests and the extras do."""

import base64
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.servers import kafka, pulsar
from tests.servers.every import SERVERS
from tidings.brokers import connect

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]  # YAML is untyped
ROWS = re.findall(
    r"^\| `(\w+)` \| `(\S+)` \| `tidings\[(\w+)\]` \|$", (ROOT / "docs/how-to/servers.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_has_a_health_and_is_reached_from_this_machine_alone(name: str) -> None:
    service = SERVICES[name]

    assert re.search(r":\d", service["image"]), "an image without a version is another one tomorrow"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"][0].startswith(f"{name}:")


def test_the_page_has_a_row_for_each_service_with_its_port_and_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert [name for name, _, _ in ROWS] == list(SERVICES)
    for name, url, extra in ROWS:
        port = urlsplit(url).port
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]
        assert extra in extras


@pytest.mark.parametrize("name", SERVICES)
def test_its_health_is_asked_often_and_long_enough_for_a_slow_machine(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    interval, timeout = (float(check[each].removesuffix("s")) for each in ("interval", "timeout"))

    assert interval <= timeout
    assert interval * check["retries"] >= 60


@pytest.mark.parametrize("url", [url for _, url, _ in ROWS])
async def test_a_url_of_the_page_is_one_that_its_carrier_takes(url: str) -> None:
    broker = await connect(url)

    assert broker.capabilities.durable
    await broker.close()


def test_users_and_passwords_of_the_page_are_those_that_are_set_up() -> None:
    urls = {name: urlsplit(url) for name, url, _ in ROWS}
    said, postgres = SERVICES["postgres"]["environment"], urls["postgres"]

    assert (postgres.username, postgres.password, postgres.path) == (
        said["POSTGRES_USER"],
        said["POSTGRES_PASSWORD"],
        f"/{said['POSTGRES_DB']}",
    )
    assert (urls["rabbitmq"].username, urls["rabbitmq"].password) == ("guest", "guest")  # its own, in its image
    assert not any(urls[name].username for name in ("redis", "nats", "mosquitto", "kafka", "pulsar"))


def test_the_administration_of_pulsar_is_where_its_url_says() -> None:
    [url] = [url for name, url, _ in ROWS if name == "pulsar"]
    port = urlsplit(parse_qs(urlsplit(url).query)["admin"][0]).port

    assert f"127.0.0.1:{port}:{port}" in SERVICES["pulsar"]["ports"]


def test_servers_keep_what_they_acknowledge() -> None:
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text())
    mosquitto = whole["configs"]["mosquitto"]["content"].splitlines()

    assert {"persistence true", "max_queued_messages 0", "autosave_on_changes true"} <= set(mosquitto)
    assert SERVICES["redis"]["command"][1:] == ["--appendonly", "yes", "--appendfsync", "always"]
    assert SERVICES["nats"]["command"][:2] == ["--jetstream", "--store_dir"]
    for service in SERVICES.values():
        kept = service["volumes"][0].partition(":")[2]
        assert kept.startswith("/")


def test_kafka_of_one_node_asks_for_no_copies() -> None:
    said = SERVICES["kafka"]["environment"]

    assert len(base64.urlsafe_b64decode(said["CLUSTER_ID"] + "==")) == 16
    assert {value for name, value in said.items() if name.endswith(("REPLICATION_FACTOR", "MIN_ISR"))} == {"1"}
    assert said["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:9092"
    assert said["KAFKA_LOG_DIRS"] == SERVICES["kafka"]["volumes"][0].partition(":")[2]


def test_users_and_tests_have_the_same_servers() -> None:
    assert {urlsplit(url).scheme for _, url, _ in ROWS} == {kind.name for kind in SERVERS}
    assert SERVICES["kafka"]["image"].endswith(f":{kafka.VERSION}")
    assert SERVICES["pulsar"]["image"].endswith(f":{pulsar.VERSION}")


def test_a_volume_is_declared_for_each_that_is_used() -> None:
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text())

    assert set(whole["volumes"]) == {service["volumes"][0].split(":")[0] for service in SERVICES.values()}
    assert {use["source"] for service in SERVICES.values() for use in service.get("configs", [])} == set(
        whole["configs"]
    )
