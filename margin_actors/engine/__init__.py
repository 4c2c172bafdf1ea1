"""The mathematics: parameters, scenarios, revaluation, measures, margin."""
