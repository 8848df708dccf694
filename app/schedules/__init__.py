"""Schedules, which repeat a training at the times of a cron expression."""
