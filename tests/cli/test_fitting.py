"""Which columns give way on a narrow terminal, and how far."""

import pytest

from tidings.cli.fitting import GAP, Column, fitted, shortened

ID = "01a201f2-3ed8-7231-aa87-3df290a50a56"
COLUMNS = [
    Column("group"),
    Column("key", goes=2),
    Column("calls", is_number=True, goes=1),
    Column("id", is_whole=True),
    Column("position", is_shown=False),
    Column("reason", least=20),
]


def row(*, key: str = "ada", calls: str = "3", reason: str = "x" * 60) -> list[str]:
    return ["orders.ship_to_its_customer", key, calls, ID, "p" * 29, reason]


def test_what_fits_is_as_wide_as_it_is() -> None:
    assert fitted(COLUMNS, [row(reason="late")], 120) == {0: 27, 1: 3, 2: 5, 3: 36, 5: 6}


@pytest.mark.parametrize("width", range(64, 160))
def test_a_row_is_a_line_whose_id_is_whole(width: int) -> None:
    widths = fitted(COLUMNS, [row()], width)

    assert widths is not None
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= width
    assert widths[3] == len(ID)


def test_text_is_shortened_the_longest_first_and_then_columns_go_in_their_order() -> None:
    assert fitted(COLUMNS, [row()], 120) == {0: 27, 1: 3, 2: 5, 3: 36, 5: 41}
    assert set(fitted(COLUMNS, [row()], 84) or {}) == {0, 1, 2, 3, 5}
    assert set(fitted(COLUMNS, [row()], 78) or {}) == {0, 1, 3, 5}
    assert set(fitted(COLUMNS, [row()], 72) or {}) == {0, 3, 5}


def test_a_column_in_which_no_row_says_anything_goes_first() -> None:
    assert set(fitted(COLUMNS, [row(key="-")], 80) or {}) == {0, 2, 3, 5}


def test_where_even_that_is_too_wide_there_is_no_table() -> None:
    assert fitted(COLUMNS, [row()], 63) is None


def test_what_is_left_out_shows() -> None:
    assert (shortened("whole", 5), shortened("shortened", 5)) == ("whole", "shor…")
