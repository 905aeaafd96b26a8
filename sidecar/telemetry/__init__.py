"""Records in, access log lines and metrics out; and the log of what the sidecar itself does."""
