"""Pages that agents write, shown by nodes and in the web page, kept apart from everything else."""
