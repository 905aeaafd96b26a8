"""mtls-sidecar: mutual TLS for an application that knows nothing of it.

Seven nouns carry the whole house:

* **identity**: this workload's key, certificate chain and trust bundle, and the SPIFFE ID in it.
* **peer**: the verified identity at the other end of a connection.
* **listener**: one port that the sidecar opens, *inbound* (mTLS in, plain out) or *outbound*
  (plain in, mTLS out).
* **policy**: the rules that turn (peer, request) into a *permit* or a *denial*. Nothing else
  makes permits, and nothing dials without one.
* **exchange**: one HTTP request and its response passing through; **tunnel**: one opaque TCP
  connection passing through.
* **snapshot**: the frozen (configuration, identity, policy, generation) that new connections
  use. A reload builds a whole new one, then swaps one reference.
* **record**: what is known at the end of an exchange or tunnel. The access log and the metrics
  are views of it.

Read `core/ids`, `core/policy`, `core/exchange`, `net/http`, `net/listener`, `app`, in that order.
"""

__version__ = "0.1.0"
