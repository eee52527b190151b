"""What the logs in relational databases share: SQL that SQLite and Postgres both understand, and run as it stands.

It is written with `?` for a parameter and `tidings_` before the name of each table; a log that says these things
otherwise translates them as it runs a statement. What is not said alike in both (types, upserts of SQLite's own, locks)
stays with each log.
"""
