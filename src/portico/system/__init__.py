"""The gateway about itself: health, status, presence, its configuration and its log."""
