"""Where this workload's identity comes from."""
