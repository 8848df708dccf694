"""Who may do what: keys, the scopes that they have, and the tenants to which they belong."""
