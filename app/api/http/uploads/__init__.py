"""How files arrive over HTTP: as the body of a request, in a form, or in pieces."""
