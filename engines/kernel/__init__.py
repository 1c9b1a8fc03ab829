"""The User-Mode Linux kernel: its source, our patches and configuration, building it once."""
