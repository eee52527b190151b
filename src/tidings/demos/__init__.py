"""Floor 8. The programs that `tidings demo NAME` runs, written as a user would write them."""
