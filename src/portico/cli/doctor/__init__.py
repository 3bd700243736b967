"""What `portico doctor` looks at: one function per check, each finding explained."""
