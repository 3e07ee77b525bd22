"""Commands of the daemon: which kinds there are, what each comes to, and how it is run once and no more."""
