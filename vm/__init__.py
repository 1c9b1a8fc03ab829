"""A virtual machine with the project inside, in which nothing is left to set up: building it, starting it, trying it."""
