"""The whole story with real processes: `python -m examples.demo`, or `make demo`.

* `story`: the steps, each with what it shows, what should come out and what does.
* `shop`: the folder with the CA, certificates and configurations, and what runs in it.
* `processes`, `ports`: starting and ending programs, by pid, on ports nobody else has.
* `clients`: plain calls, TLS without a certificate, steady traffic.
* `summary`, `ui`: what came out, as a table, as JSON, in colour or not.
"""
