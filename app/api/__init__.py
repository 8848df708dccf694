"""HTTP: the only place that knows FastAPI. Routers translate; the use cases beside this package decide."""
