"""What the black-box tests stand on: starting servers, talking raw HTTP to them, proving that they left no trace."""
