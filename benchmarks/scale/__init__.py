"""Past these machines: 100 gateways before 1,000 instances, simulated and reckoned."""
