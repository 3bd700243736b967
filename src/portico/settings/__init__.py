"""The gateway's settings as clients see and change them, and the record of changes."""
