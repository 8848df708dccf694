"""Everything durable and everything HTTP: registry, job states, storage, API, client. It never imports torch."""
