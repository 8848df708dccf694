"""The same toy jobs on several job machines, under the same faults."""
