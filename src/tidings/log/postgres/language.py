"""The SQL of relational logs, as Postgres wants it: tables in a schema of their own, other marks for parameters."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def spoken(sql: str, schema: str) -> str:
    """`sql` with its `?` and its `tidings_...` tables said as psycopg and Postgres say them."""
    return sql.replace("%", "%%").replace("?", "%s").replace("tidings_", f'"{schema}".')


@lru_cache(maxsize=4096)
def portable(sql: str, count: int) -> str:
    """A handler's `sql` with `count` parameters: marked `?`, as for SQLite, or `%s`, as psycopg has it.

    Only where there are as many `?` as parameters, and no `%s`, are they meant as marks: else they are operators.
    """
    if not count or "%s" in sql or "%(" in sql or sql.count("?") != count:
        return sql
    return sql.replace("%", "%%").replace("?", "%s")
