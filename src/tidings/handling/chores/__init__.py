"""What one process does for all of an application's, a file each; who does it, `housekeeping.py` settles."""
