"""The project's instrument: our pair of proxies beside its peers, in one run, on one machine.

    make bench            or  python -m tests.bench --rounds 5 --seconds 3 --only sidecar,envoy

Every proxy stands in the same place:

    load -> outbound proxy (plain in, mTLS out) -> inbound proxy (mTLS in, plain out) -> application

The number that counts is CPU time per request of each proxy, because it hardly depends on what
else the machine does; throughput and latency are printed beside it. Single runs lie, so a sample
is short, samples of different peers take turns (A B C A B C), and the table shows medians.

* `topology`: ports, certificates, processes; one pair of proxies started, one pair ended.
* `peers`: one small file for each proxy that turns a place in the chain into a configuration.
* `load`: closed-loop load inside the harness; `app`: the application behind the chain.
* `measure`: CPU and memory of a process out of /proc, percentiles.
* `rounds`: which sample comes when; `report`: medians, table, JSON.

To add a peer, add a file to `peers`; to add a workload, add a `Workload` to `load`.
"""
