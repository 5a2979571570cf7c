"""ShuffleNet V2: half of the channels pass, half are computed, then both are shuffled."""
