"""What the service tells Prometheus, and what Prometheus and Grafana make of it."""
