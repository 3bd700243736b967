"""What the gateway tells its operator: the log, the metrics, whether it is ready."""
