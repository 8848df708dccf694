"""The languages in which people read what the service says: English, in which it is written, and Chinese."""
