"""What can happen: the catalog of events, their wire forms, and the services that they come from."""
