"""Where the values of scenes lie, and how scenes are brought to one radiometry. Free of torch."""
