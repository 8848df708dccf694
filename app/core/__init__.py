"""What every use case stands on: the database, errors, pages, names, repeated requests, the start of a process."""
