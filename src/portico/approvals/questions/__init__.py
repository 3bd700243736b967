"""What agents ask people: a question or three, with answers to choose from or to write."""
