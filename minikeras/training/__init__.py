"""From `compile` to the trained model: data checks, weighting, one step, the loops."""
