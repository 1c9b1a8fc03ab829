"""Building a domain in a kernel, and moving its nodes."""
