"""Accepting messages: durable first, once, admitted and routed."""
