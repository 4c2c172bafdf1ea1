"""The margin model: parameters, scenarios, revaluation, risk measures and margin requirements."""
