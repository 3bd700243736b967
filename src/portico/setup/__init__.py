"""Setting a gateway up, step by step: the same questions in a terminal and over the protocol."""
