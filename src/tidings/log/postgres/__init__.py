"""The log in a Postgres database: for many machines, each event as safe as a commit there."""
