"""Measure: records, the protocol, latency tables, and how far a table can be trusted."""
