"""Half one: the points of an agent's life, and the webhooks that they call. Needs no server and no database."""
