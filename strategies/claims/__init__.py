"""What the studies behind this project claimed, held against what comes out when it is tried as they planned it."""
