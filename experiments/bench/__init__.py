"""``make bench``: how fast the testbed is; one file a benchmark."""
