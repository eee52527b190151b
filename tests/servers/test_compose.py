"""`compose.yaml` and the page about it name the same servers, at the same places, as the tests and the extras do."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers import kafka, pulsar
from tests.servers.every import SERVERS

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
