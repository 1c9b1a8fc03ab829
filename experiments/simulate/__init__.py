"""A run without a kernel: a discrete-event simulator that plays the agents behind their octets and leaves what an emulation leaves."""
