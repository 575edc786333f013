"""The paper's studies: each module with ``run`` is one, the others are what they share."""
