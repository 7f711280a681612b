"""Independent, slow implementations that the fast ones are held against."""
