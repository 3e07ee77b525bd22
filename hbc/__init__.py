"""hbc, the agent: measures the machine it runs on and tells hbd."""

__version__ = "0.1.0"
