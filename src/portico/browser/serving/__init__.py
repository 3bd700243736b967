"""The browser service itself: what runs in the process of its own. Importing it is not cheap."""
