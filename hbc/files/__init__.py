"""Files that the daemon may read and write: opened beneath allowed folders alone (``beneath``), moved in pieces."""
