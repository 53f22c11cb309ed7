"""What the benchmarks on a GPU share: random models, measuring, peers, and the lines that come of it."""
