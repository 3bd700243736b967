"""What runs used, by whom and when; and how providers and budgets stand."""
