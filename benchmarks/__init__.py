"""Every measured claim is a benchmark: it does the work, prints a table and writes benchmarks/results/NAME.json."""
