"""What carriers cost: tidings on each broker's real server, against the client library alone and against FastStream."""
