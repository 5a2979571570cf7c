"""What a house is rid of, and the doctor who looks it over."""
