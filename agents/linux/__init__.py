"""An agent on Linux: its daemon, and everything that touches sockets, netlink, files, clocks or processes."""
