"""A browser that operators and agents drive: Chromium in a process of its own, behind a guard."""
