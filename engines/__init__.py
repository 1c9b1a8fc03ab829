"""Which kernel the emulation runs on, building that kernel, and probing what a kernel can do."""
