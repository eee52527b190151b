"""Read failures in one form, whatever library found them."""

import msgspec
import pydantic
import pytest

from tidings.events.shapes import READ_FAILURES, MsgspecShape, PydanticShape, shape_of, where_and_what


class Inner(msgspec.Struct):
    numbers: dict[int, int]


class Model(pydantic.BaseModel):
    rows: list[dict[str, int]]


def test_a_type_gets_the_shape_that_can_read_it() -> None:
    assert isinstance(shape_of(Inner), MsgspecShape)
    assert isinstance(shape_of(Model), PydanticShape)


def test_decoded_json_is_converted_with_its_text_keys() -> None:
    assert shape_of(Inner).convert({"numbers": {"1": 2}}) == Inner({1: 2})


@pytest.mark.parametrize(
    ("type_", "data", "path"),
    [(Inner, b'{"numbers": {"1": "x"}}', "$.numbers[...]"), (Model, b'{"rows": [{"a": "x"}]}', "$.rows[0].a")],
)
def test_a_failure_tells_where_the_data_departs(type_: type, data: bytes, path: str) -> None:
    with pytest.raises(READ_FAILURES) as caught:
        shape_of(type_).decode(data)

    assert where_and_what(caught.value)[0] == path


def test_endless_nesting_is_a_failure_like_any_other() -> None:
    assert where_and_what(RecursionError()) == ("$", "it is nested too deeply")
