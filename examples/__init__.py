"""What runs from a clean checkout: two small applications and the demo that joins them."""
