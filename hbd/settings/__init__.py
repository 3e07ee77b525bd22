"""What people changed in hbd and not in its config file, as one YAML file: written out, read, compared, brought in.

``document`` is the shape of the file, ``writing`` makes its text, ``reading`` reads and checks it, ``gathering`` says
what there is now, ``planning`` compares the two, ``applying`` writes what differs in one transaction, ``register`` has
a running daemon follow.
"""
