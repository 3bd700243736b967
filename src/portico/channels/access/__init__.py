"""Who may write to an account: its policy, and the people an operator has approved."""
