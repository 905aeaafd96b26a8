"""Records in, access log lines and metrics out."""
