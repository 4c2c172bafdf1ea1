"""One module per version of the tables. A released module is never edited."""
