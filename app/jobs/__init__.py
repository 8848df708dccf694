"""A job's life: the states it can have, how workers hear of it, what becomes of it when one dies."""
