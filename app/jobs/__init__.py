"""The life of a job: its states, how workers are notified of it, and what happens to it when a worker dies."""
