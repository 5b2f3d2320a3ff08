"""Background and batched deliveries, kept in a SQLite file until they have been sent."""
