"""The record of what was changed, by whom and when."""
