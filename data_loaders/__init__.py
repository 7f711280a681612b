"""Turn sources into validated, point-in-time news, prices and labels; time splits."""
