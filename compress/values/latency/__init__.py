"""How long a call takes: clocks and calls, and what is kept of them."""
