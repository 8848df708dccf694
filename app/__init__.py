"""Everything durable and everything HTTP: registry, job states, storage, API, client. Never imports torch."""
