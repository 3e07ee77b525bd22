"""Following logs: files (``file``) and systemd's journal (``journal``), however much is written to them."""
