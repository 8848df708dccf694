"""The HTTP interface, the only package that imports FastAPI. Its routers translate between HTTP and the use cases.

Every decision is made by the use cases, in `app.data`, `app.learning`, `app.mapping`, `app.jobs` and `app.schedules`.
"""
