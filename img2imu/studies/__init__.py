"""The paper's studies, each a module with ``run``; shared parts in cells, folder, rows and data."""
