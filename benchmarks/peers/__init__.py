"""Worker scripts, one for each kind of peer; the driver starts them in their own environments."""
