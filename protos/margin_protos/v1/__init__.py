"""Version 1 of the contract: within it things are only added."""
