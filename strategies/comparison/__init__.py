"""Many models on one protocol, held against baselines, corrected for how many were tried."""
