"""What is on screen as pictures that outlive it."""
