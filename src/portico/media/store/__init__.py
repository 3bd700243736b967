"""What people attach: bytes by the hash of their content, and rows that say who refers to them."""
