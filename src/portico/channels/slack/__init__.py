"""Slack apps, by Socket Mode or the Events API."""
