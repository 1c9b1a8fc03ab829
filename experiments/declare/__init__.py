"""What is to be run, as data: scenarios, settings, what a user chose, and the resolved run."""
