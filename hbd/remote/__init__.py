"""What the daemon asks of agents, and only where a host's own config allows it: commands, logs, files."""
