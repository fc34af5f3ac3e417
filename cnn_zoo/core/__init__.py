"""What needs no framework: errors, files, intervals, the machine, a quiet start."""
