"""hbd, the daemon: hears from many hosts, remembers, judges, tells."""

__version__ = "0.1.0"
