"""Verdicts in, text out: pure, and nothing that a server wrote leaves it unescaped."""
