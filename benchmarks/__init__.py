"""Benchmarks of minikeras against its peers; see README.md in this directory."""
