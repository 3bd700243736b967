"""One module per measurement; each has `measure(bench)` and returns its figures."""
