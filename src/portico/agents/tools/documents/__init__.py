"""Documents from outside become text, in a process of their own."""
