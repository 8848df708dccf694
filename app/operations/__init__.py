"""What whoever runs the service asks and does: readiness, doctor, child processes, counts."""
