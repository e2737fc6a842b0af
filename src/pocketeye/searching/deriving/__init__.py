"""From a trained supernet to architectures: sampling in the band, ranking, baselines."""
