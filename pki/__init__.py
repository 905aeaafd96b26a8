"""A mini certificate authority for workload identities.

It stands alone: nothing here imports the proxy. Read `names` (what an identity is),
`profile` (what may be asked for), `build` (values in, certificate out, no I/O), `authority`
(decides, then builds, then records), in that order.

Importing the package, or `pki.names`, loads no cryptography: the proxy shares the names and
pays for nothing else.
"""
