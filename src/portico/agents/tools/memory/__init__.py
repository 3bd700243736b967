"""What agents note for later, as Markdown files in their workspaces."""
