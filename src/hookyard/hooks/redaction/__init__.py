"""Find secrets in texts, replace them by marks, put them back."""
