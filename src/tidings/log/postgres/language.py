"""The SQL of relational logs, as Postgres wants it: tables in a schema of their own, other marks for parameters."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def spoken(sql: str, schema: str) -> str:
    """`sql` with its `?` and its `tidings_...` tables said as psycopg and Postgres say them."""
    return sql.replace("%", "%%").replace("?", "%s").replace("tidings_", f'"{schema}".')
