"""Exact counts of joint firings, in all and by stratum: on the CPU, on a GPU, on a Ray cluster."""
