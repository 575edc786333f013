"""What is learnt from: windows as they are, as pictures, by sensor, as tokens; their batches."""
