"""Golden fixtures: tiny checkpoints, and what a reference library computes from a checkpoint."""
