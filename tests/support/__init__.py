"""What the black-box tests stand on: starting servers, talking raw HTTP, proving that nothing is left."""
