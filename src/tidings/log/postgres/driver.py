"""psycopg, or how to get it. Every module here takes it from this one, so that its absence is told once."""

try:
    import psycopg
except ImportError as error:
    from tidings.errors import MissingExtra

    raise MissingExtra("postgres", "a log at postgresql://") from error

__all__ = ["psycopg"]
