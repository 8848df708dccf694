"""Ways back: what needs what, deleting, trying a job again, and what is deleted after some time."""
