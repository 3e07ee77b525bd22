"""Ways on for what hosts report, to engines of the field. One file an engine."""
