"""Measurements of a running gateway, each beside a bare echo server on the same stack.

    python -m benchmarks                 everything
    python -m benchmarks rpc chat        only these
    python -m benchmarks --quick         fewer rounds and connections
    python -m benchmarks --record        append what was found to benchmarks/results.jsonl

How to read it: docs/performance.md.
"""
