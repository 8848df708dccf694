"""Webhooks: signed messages to the addresses that portals register, so that they need not ask whether a job has ended.

What happens is written into the outbox in the transaction in which it happens; every API sends what waits there.
"""
