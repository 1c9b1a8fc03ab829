"""What is done to the network and what is measured: scenarios, traffic, captures, metrics, plots, the command line."""
