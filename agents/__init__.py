"""The protocol entities: messages, schemes, the sans-IO LMA and MAG, and the daemon that runs them."""
