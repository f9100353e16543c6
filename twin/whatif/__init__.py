"""What-if: the file, typed changes, the compiled model, simulation, outcome and comparison."""
