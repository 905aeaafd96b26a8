"""Two applications that know nothing of TLS. They speak plain HTTP on loopback, and that is all."""
