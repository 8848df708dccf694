"""What every use case needs: the database, errors, pages, names, repeated requests, the start of a process."""
