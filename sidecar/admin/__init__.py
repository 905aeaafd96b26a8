"""What operators and the kubelet ask the sidecar about itself."""
