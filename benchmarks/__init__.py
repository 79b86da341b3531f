"""How accurate and how fast: measured on real tables, never imported by tests."""
