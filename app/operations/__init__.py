"""What an operator of the service needs: readiness, doctor, child processes, counts of jobs."""
