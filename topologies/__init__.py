"""What the network looks like: domains, the presets, building them with Mininet, moving a mobile node."""
