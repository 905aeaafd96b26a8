"""What operators and the kubelet ask the sidecar about itself.

`pages` turns a request into an answer and knows nothing of sockets; `server` is a small HTTP/1.1
server for it, made to be there when everything else is busy.
"""
