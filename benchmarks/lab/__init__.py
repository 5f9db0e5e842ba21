"""What the workloads share: `report` is pure, `processes` starts and ends, `workload` joins."""
