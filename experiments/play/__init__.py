"""A run in a kernel: its network, agents, captures, traffic, faults and attackers."""
